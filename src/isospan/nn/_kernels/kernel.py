"""The base of kernels, which compute an equivariant map from its coefficients."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from isospan.errors import RepresentationError
from isospan.nn._base.layer import Constants
from isospan.representations import HomBasis, Representation

Product = Callable[[Tensor, Tensor], Tensor]
"""Signals (B, n_out, T') of signals (B, n_in, T) and maps (..., n_out, n_in)."""


class Kernel(Constants):
    """Base of kernels. A subclass implements :meth:`expand`, and :meth:`forward` where it needs no dense weight.

    Args:
        basis: of the equivariant maps.

    Attributes:
        basis: the same.
        dimension: number of coefficients.
    """

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        self.basis: HomBasis = basis
        self.dimension: int = basis.dimension

    def expand(self, coefficients: Tensor) -> Tensor:
        """The dense weight W (..., n_out, n_in) of coefficients (..., dimension)."""
        raise NotImplementedError

    def forward(self, x: Tensor, coefficients: Tensor, product: Product) -> Tensor:
        """Return y (B, n_out, T') of x (B, n_in, T), where ``product`` applies maps to signals."""
        return product(x, self.expand(coefficients))


def basis_of_maps(rep_in: Representation, rep_out: Representation) -> HomBasis:
    """The basis of the equivariant maps, of which there must be some.

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep, so that only the zero map is equivariant.
    """
    basis = HomBasis(rep_in, rep_out)
    if not basis.dimension:
        ours, theirs = ([c.irrep.name for c in rep.isotypic] for rep in (rep_in, rep_out))
        raise RepresentationError(
            f"Equivariant maps need an irrep that both representations contain, got {ours} in {rep_in.name!r} "
            f"and {theirs} in {rep_out.name!r}: only the zero map commutes. Add copies of the missing irreps."
        )
    return basis


def have_one_basis(rep: Representation, other: Representation) -> bool:
    """Whether two representations have the same blocks, with the same bases; equal ones may have others."""
    return rep is other or (
        len(rep.blocks) == len(other.blocks)
        and all(
            a.action.key == b.action.key and np.array_equal(a.indices, b.indices) and np.array_equal(a.basis, b.basis)
            for a, b in zip(rep.blocks, other.blocks, strict=True)
        )
    )
