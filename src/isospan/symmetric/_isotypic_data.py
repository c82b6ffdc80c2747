"""Data in isotypic coordinates."""

import torch
from torch import Tensor

from isospan.representations import Representation
from isospan.symmetric._constants import Placed, constants


def isotypic_data(x: Tensor, rep: Representation) -> list[Tensor]:
    r"""Return the coordinates of samples in every isotypic component, a tensor (m, d, N) each.

    Components and copies are those of ``rep.isotypic``; entry (i, a, n) is the a-th of the d coordinates of copy i in
    sample n. With samples last, a sum over samples and dimensions is one matrix product, every piece is copied in long
    runs, and the change of basis is one product of the small basis of a block with the data of each of its copies.

    Args:
        x: rows (N, D), as :func:`samples` returns them.
        rep: how the group acts on them.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> even, odd = isotypic_data(torch.tensor([[3.0, 1.0]]), CyclicGroup(2).regular_representation)
        >>> (even * 2**0.5).round(), (odd.abs() * 2**0.5).round()
        (tensor([[[4.]]]), tensor([[[2.]]]))
    """
    pieces = [_turned(x, placed) for placed in constants(rep, x.dtype, x.device).blocks]
    components = []
    for component in rep.isotypic:
        shape = (-1, component.irrep.size, len(x))
        parts = [pieces[source.block][:, source.columns].reshape(shape) for source in component.sources]
        components.append(parts[0] if len(parts) == 1 else torch.cat(parts))
    return components


def _turned(x: Tensor, placed: Placed) -> Tensor:
    """Coordinates of every copy of a block in its basis, (copies, n, N)."""
    copies = x[:, placed.columns].unflatten(1, (-1, len(placed.basis)))
    return placed.basis.mT @ copies.permute(1, 2, 0)
