"""What the functions of this room need of a representation as tensors, made once for each precision and device."""

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan.representations import Representation


def constants(rep: Representation, dtype: torch.dtype, device: torch.device) -> "Constants":
    """Return what all functions share, one object for each representation, precision and device."""
    if torch.compiler.is_compiling():  # a decomposition is no part of the caller's graph
        apart: Any = torch._dynamo.disable(_complete)
        return apart(rep, dtype, device)
    return _constants(rep, dtype, device)


@lru_cache(maxsize=256)
def _constants(rep: Representation, dtype: torch.dtype, device: torch.device) -> "Constants":
    return Constants(rep, dtype, device)


def _complete(rep: Representation, dtype: torch.dtype, device: torch.device) -> "Constants":
    made = _constants(rep, dtype, device)
    _ = made.blocks, made.block_position, made.endomorphisms, made.structure, made.invariant
    return made


class Placed(NamedTuple):
    """A block's coordinates in the data, all copies, and its basis (n, n) with rows in their order."""

    columns: slice | Tensor
    basis: Tensor


class Constants:
    """Tensors of a representation, each made when it is first asked for."""

    def __init__(self, rep: Representation, dtype: torch.dtype, device: torch.device) -> None:
        self.rep, self.dtype, self.device = rep, dtype, device

    @cached_property
    def blocks(self) -> list[Placed]:
        """One entry a block; its columns are a slice where the copies lie side by side, which needs no gather."""
        return [Placed(self._columns(indices), self._tensor(basis)) for indices, basis in self._sorted]

    @cached_property
    def block_position(self) -> Tensor:
        """Where each coordinate (D,) stands among those of the blocks, which follow one another copy by copy."""
        return self._index(np.argsort(np.concatenate([indices.ravel() for indices, _ in self._sorted])))

    @cached_property
    def endomorphisms(self) -> dict[tuple[int, ...], Tensor]:
        """Endomorphism basis E (s, d, d), the identity first, by the key of the irrep."""
        return {c.irrep.key: self._tensor(c.irrep.endomorphism_basis) for c in self.rep.isotypic}

    @cached_property
    def structure(self) -> dict[tuple[int, ...], Tensor]:
        r"""Structure constants γ (s, s, s) of the endomorphisms, :math:`E_s^\top E_t = \sum_u \gamma_{stu} E_u`."""
        products = {c.irrep.key: c.irrep.endomorphism_basis for c in self.rep.isotypic}
        return {
            key: self._tensor(np.einsum("sab,tac,ubc->stu", E, E, E, optimize=True) / E.shape[1])
            for key, E in products.items()
        }

    @cached_property
    def invariant(self) -> Tensor:
        """Orthonormal basis (D, m) of the invariant vectors, as columns."""
        columns = [component.slice for component in self.rep.isotypic if component.irrep.is_trivial]
        return self._tensor(self.rep.change_of_basis[:, columns[0] if columns else slice(0, 0)])

    @cached_property
    def elements(self) -> list[tuple[Tensor, Tensor]]:
        """For every block, its coordinates (copies, n) and the matrices (order, n, n) of all elements."""
        tree = self.rep.group.tree
        return [(self._index(b.indices), self._tensor(tree.evaluate(b.action.generators))) for b in self.rep.blocks]

    @cached_property
    def _sorted(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Coordinates (copies, n) and basis (n, n) of every block, in ascending order where all copies share one."""
        pairs = []
        for block in self.rep.blocks:
            indices, basis, order = block.indices, block.basis, np.argsort(block.indices, axis=1)
            if (order == order[0]).all():
                indices, basis = np.sort(indices, axis=1), basis[order[0]]
            pairs.append((indices, basis))
        return pairs

    def _columns(self, indices: np.ndarray) -> slice | Tensor:
        flat = indices.ravel()
        contiguous = bool((np.diff(flat) == 1).all())
        return slice(int(flat[0]), int(flat[-1]) + 1) if contiguous else self._index(flat)

    def _tensor(self, array: np.ndarray) -> Tensor:
        with torch.inference_mode(False):  # a tensor that outlives the caller's inference mode
            return torch.tensor(array, dtype=self.dtype, device=self.device)

    def _index(self, array: np.ndarray) -> Tensor:
        with torch.inference_mode(False):
            return torch.tensor(array, device=self.device)
