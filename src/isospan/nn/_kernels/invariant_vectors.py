"""Invariant vectors from their coefficients."""

import numpy as np
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._base.layer import Constants, joined
from isospan.representations import Block, Representation


class InvariantVectors(Constants):
    """The vector b (D,) of coefficients (m,) in an orthonormal basis of the invariant vectors.

    All copies of a block share one small basis, which is a scalar where all coordinates of a copy are equal.

    Args:
        rep: representation of b.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> InvariantVectors(CyclicGroup(4).regular_representation)(torch.ones(1))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    order: Tensor | None

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        bases = [_basis(block) for block in rep.blocks]
        self._sizes = [block.size for block in rep.blocks]
        self._shapes = [(block.multiplicity, basis.shape[1]) for block, basis in zip(rep.blocks, bases, strict=True)]
        self._entries = [_entry(basis) for basis in bases]
        for number, (basis, entry) in enumerate(zip(bases, self._entries, strict=True)):
            if entry is None:
                self.register_constant(f"basis_{number}", basis)
        self.dimension: int = sum(copies * m for copies, m in self._shapes)
        several = zip(rep.blocks, self._entries, strict=True)
        indices = [block.indices if entry is None else np.sort(block.indices) for block, entry in several]
        self.register_order("order", np.argsort(np.concatenate([rows.ravel() for rows in indices])))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return b (D,)."""
        sizes = [copies * m for copies, m in self._shapes]
        with full_precision(coefficients):
            parts = [coefficients] if len(sizes) == 1 else coefficients.split(sizes)
            b = joined([self._spread(part, number) for number, part in enumerate(parts)], dim=0)
            return b if self.order is None else b.index_select(0, self.order)

    def _spread(self, part: Tensor, number: int) -> Tensor:
        """The coordinates (c n,) of the copies of a block."""
        entry = self._entries[number]
        if entry is not None:
            return (part * entry).repeat_interleave(self._sizes[number])
        basis = getattr(self, f"basis_{number}").to(part.dtype)
        return (part.view(self._shapes[number]) @ basis.mT).flatten()


def _basis(block: Block) -> np.ndarray:
    """The columns (n, m) of the change of basis of one copy that belong to the trivial irrep."""
    invariant = [block.basis[:, part.columns] for part in block.parts if part.irrep.is_trivial]
    return np.concatenate([block.basis[:, :0], *invariant], axis=1)


def _entry(basis: np.ndarray) -> float | None:
    """The entry of a basis (n, 1) whose entries are all equal; None of any other basis."""
    return float(basis[0, 0]) if basis.shape[1] == 1 and np.allclose(basis, basis[0], rtol=0, atol=1e-12) else None
