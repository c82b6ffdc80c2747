"""Bases of a representation as tensors, cached in it for each precision and device."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan.representations import Block, HomBasis, Representation


def constants(rep: Representation, dtype: torch.dtype, device: torch.device) -> "Constants":
    """Return the cached tensors of a representation in a precision, on a device."""
    if torch.compiler.is_compiling():  # so that the decomposition does not enter the graph of the caller
        untraced: Any = torch._dynamo.disable(_complete)
        return untraced(rep, dtype, device)
    return rep.derived(Constants, dtype, device)


def _complete(rep: Representation, dtype: torch.dtype, device: torch.device) -> "Constants":
    """Return constants with every tensor computed."""
    complete = rep.derived(Constants, dtype, device)
    _ = complete.blocks, complete.block_index, complete.copies, complete.endomorphisms, complete.invariant
    return complete


class Constants:
    """Tensors of a representation, each computed at its first use."""

    def __init__(self, rep: Representation, dtype: torch.dtype, device: torch.device) -> None:
        self.rep, self.dtype, self.device = rep, dtype, device

    @cached_property
    def blocks(self) -> list[tuple[slice | Tensor, Tensor]]:
        """The columns of the copies of every block, and its basis (n, n), whose rows are in the order of the columns.

        Columns of adjacent copies are a slice, which needs no gather.
        """
        return [(self._columns(indices), self._tensor(basis)) for indices, basis in self._sorted]

    @cached_property
    def block_index(self) -> Tensor:
        """Index (D,) of each coordinate among the coordinates of all blocks, block after block and copy after copy."""
        return self._index(np.argsort(self.rep.block_order))

    @cached_property
    def copies(self) -> list[tuple[Tensor, HomBasis]]:
        """The indices (copies, n) of every block, and the equivariant maps of one copy."""
        one = [
            Representation.from_blocks(self.rep.group, [Block(b.action, np.arange(b.size)[None])], name="one copy")
            for b in self.rep.blocks
        ]
        return [(self._index(b.indices), HomBasis(r, r)) for b, r in zip(self.rep.blocks, one, strict=True)]

    @cached_property
    def endomorphisms(self) -> dict[tuple[int, ...], Tensor]:
        """Basis E (s, d, d) of the endomorphism algebra of each irrep, by its key; the identity is first."""
        return {c.irrep.key: self._tensor(c.irrep.endomorphism_basis) for c in self.rep.isotypic}

    @cached_property
    def invariant(self) -> Tensor:
        """Orthonormal basis (D, m) of the invariant vectors, as columns."""
        columns = [component.slice for component in self.rep.isotypic if component.irrep.is_trivial]
        return self._tensor(self.rep.change_of_basis[:, columns[0] if columns else slice(0, 0)])

    @cached_property
    def elements(self) -> list[tuple[Tensor, Tensor]]:
        """The indices (copies, n) of every block, and its matrices (order, n, n) for all elements of the group."""
        tree = self.rep.group.tree
        return [(self._index(b.indices), self._tensor(tree.evaluate(b.action.generators))) for b in self.rep.blocks]

    @cached_property
    def _sorted(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Indices (copies, n) and basis (n, n) of every block, with ascending indices if one order sorts all copies."""
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
        with torch.inference_mode(False):  # the cache outlives the inference mode of the caller
            return torch.tensor(array, dtype=self.dtype, device=self.device)

    def _index(self, array: np.ndarray) -> Tensor:
        with torch.inference_mode(False):
            return torch.tensor(array, device=self.device)
