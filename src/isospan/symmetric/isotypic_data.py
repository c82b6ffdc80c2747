"""Data in isotypic coordinates."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.representations import Representation


def isotypic_data(x: Tensor, rep: Representation) -> list[Tensor]:
    r"""Return the coordinates of samples in every isotypic component, a tensor (m, d, N) each.

    Components and copies are those of ``rep.isotypic``; entry (i, a, n) is the a-th of the d coordinates of copy i in
    sample n. With samples last, a sum over samples and dimensions is one matrix product, every piece is copied in long
    runs, and the change of basis is one product of the small basis of a block with the data of each of its copies.

    Args:
        x: rows (N, D).
        rep: how the group acts on them.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> even, odd = isotypic_data(torch.tensor([[3.0, 1.0]]), CyclicGroup(2).regular_representation)
        >>> (even * 2**0.5).round(), (odd.abs() * 2**0.5).round()
        (tensor([[[4.]]]), tensor([[[2.]]]))
    """
    pieces = [_turned(x, _placed(rep, i, x.dtype, x.device)) for i in range(len(rep.blocks))]
    components = []
    for component in rep.isotypic:
        shape = (-1, component.irrep.size, len(x))
        parts = [pieces[source.block][:, source.columns].reshape(shape) for source in component.sources]
        components.append(parts[0] if len(parts) == 1 else torch.cat(parts))
    return components


class _Placed(NamedTuple):
    """A block's coordinates in the data, all copies, and its basis (n, n) with rows in their order."""

    columns: slice | Tensor
    basis: Tensor


@lru_cache(maxsize=256)
def _placed(rep: Representation, block: int, dtype: torch.dtype, device: torch.device) -> _Placed:
    """Made once for every precision and device; a slice where the copies lie side by side, which needs no gather."""
    indices, basis = rep.blocks[block].indices, rep.blocks[block].basis
    order = np.argsort(indices, axis=1)
    if (order == order[0]).all():
        indices, basis = np.sort(indices, axis=1), basis[order[0]]
    flat = indices.ravel()
    contiguous = bool((np.diff(flat) == 1).all())
    columns = slice(int(flat[0]), int(flat[-1]) + 1) if contiguous else torch.tensor(flat, device=device)
    return _Placed(columns, torch.tensor(basis).to(device, dtype))


def _turned(x: Tensor, placed: _Placed) -> Tensor:
    """Coordinates of every copy of a block in its basis, (copies, n, N)."""
    copies = x[:, placed.columns].unflatten(1, (-1, len(placed.basis)))
    return placed.basis.mT @ copies.permute(1, 2, 0)
