"""Invariant vectors from their coefficients, as a module without parameters."""

import numpy as np
from torch import Tensor

from isospan.nn._constants import Constants, full_precision
from isospan.representations import Representation


class InvariantVectors(Constants):
    """The vector b (D,) of coefficients (m,) in an orthonormal basis of those that the group leaves as they are.

    Args:
        rep: how the group acts on b.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> InvariantVectors(CyclicGroup(4).regular_representation)(torch.ones(1))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    basis: Tensor

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.register_constant("basis", _basis(rep))
        self.dimension = self.basis.shape[1]

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return b (D,)."""
        with full_precision(coefficients):
            return self.basis.to(coefficients.dtype) @ coefficients


def _basis(rep: Representation) -> np.ndarray:
    """The columns (D, m) of the change of basis that belong to the trivial irrep."""
    trivial = next((c for c in rep.isotypic if c.irrep.is_trivial), None)
    basis, start = np.zeros((rep.size, trivial.size if trivial else 0)), 0
    for source in trivial.sources if trivial else ():
        block = rep.blocks[source.block]
        for rows in block.indices:
            basis[rows, start : start + source.multiplicity] = block.basis[:, source.columns]
            start += source.multiplicity
    return basis
