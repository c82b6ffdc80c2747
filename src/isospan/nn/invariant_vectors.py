"""Invariant vectors from their coefficients, as a module without parameters."""

from math import prod

import numpy as np
import torch
from torch import Tensor

from isospan.nn._constants import Constants, full_precision
from isospan.nn._linear_function import reordered
from isospan.representations import Representation
from isospan.representations.blocks import Block


class InvariantVectors(Constants):
    """The vector b (D,) of coefficients (m,) in an orthonormal basis of those that the group leaves as they are.

    It holds one small basis for all copies of a block.

    Args:
        rep: how the group acts on b.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> InvariantVectors(CyclicGroup(4).regular_representation)(torch.ones(1))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    order: Tensor | None
    order_back: Tensor | None

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        bases = [_basis(block) for block in rep.blocks]
        for number, basis in enumerate(bases):
            self.register_constant(f"basis_{number}", basis)
        self._shapes = [(block.copies, basis.shape[1]) for block, basis in zip(rep.blocks, bases, strict=True)]
        self.dimension = sum(map(prod, self._shapes))
        self.register_order("order", np.argsort(rep.block_order))
        self.register_order("order_back", rep.block_order)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return b (D,)."""
        with full_precision(coefficients):
            parts = coefficients.split([prod(shape) for shape in self._shapes])
            copies = [
                (part.view(shape) @ self._basis(number, part).mT).flatten()
                for number, (part, shape) in enumerate(zip(parts, self._shapes, strict=True))
            ]
            return reordered(torch.cat(copies), self.order, self.order_back)

    def _basis(self, number: int, like: Tensor) -> Tensor:
        return getattr(self, f"basis_{number}").to(like.dtype)


def _basis(block: Block) -> np.ndarray:
    """The columns (n, m) of the change of basis of one copy that belong to the trivial irrep."""
    invariant = [block.basis[:, part.columns] for part in block.parts if part.irrep.is_trivial]
    return np.concatenate([block.basis[:, :0], *invariant], axis=1)
