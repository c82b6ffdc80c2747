"""What a kernel is: a way to compute an equivariant map from its coefficients."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from isospan.errors import RepresentationError
from isospan.nn._base.constants import Constants
from isospan.representations import HomBasis, Representation

Product = Callable[[Tensor, Tensor], Tensor]
"""Signals (B, n_out, T') of signals (B, n_in, T) and maps (..., n_out, n_in)."""


class Shape(NamedTuple):
    """What a kernel computes: a map between two representations for each kernel position.

    Attributes:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.
        positions: number of kernel positions of a convolution; 1 of a linear layer.
        inputs: entries of the input for each product with all positions: the stride of a convolution.
        outputs: entries of the output for each: the stride of a transposed convolution.
    """

    rep_in: Representation
    rep_out: Representation
    positions: int = 1
    inputs: int = 1
    outputs: int = 1


class Kernel(Constants):
    """Base of kernels: :meth:`cost` says how long one takes, and :meth:`forward` computes the map.

    Args:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.

    Attributes:
        basis: of the equivariant maps.
        dimension: number of coefficients.

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep, so that only the zero map is equivariant.
    """

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__()
        self.basis: HomBasis = basis_of_maps(rep_in, rep_out)
        self.dimension: int = self.basis.dimension

    @staticmethod
    def cost(shape: Shape) -> float:
        """Multiplications in the time that it takes, see :mod:`isospan.nn._base.cost`."""
        raise NotImplementedError

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
