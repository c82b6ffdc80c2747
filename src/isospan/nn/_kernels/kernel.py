"""The base of kernels, which compute an equivariant map from its coefficients, and the constants of their cost."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from isospan.errors import RepresentationError
from isospan.nn._base.layer import Constants
from isospan.representations import HomBasis, Representation

MOVE = 250
"""Multiplications in the time that memory takes for one coordinate in a change of basis and back, with gradients.

One thread of a CPU, float32: from 256 to 1,024 features and 1 to 9 kernel positions, single cases ask for 110 to 260.
It is near the highest, so that no kernel is chosen where it is slower. Fitted to ``python -m benchmarks.kernels``.
"""

MOVE_IN_CHAIN = 100
"""The same in a chain of layers, between which samples stay the last axis. Networks of C4, D6 and the icosahedral group
are as fast as with dense weights at 320 hidden features, which asks for 90 to 130.
"""

Product = Callable[[Tensor, Tensor], Tensor]
"""Signals (B, n_out, T') of signals (B, n_in, T) and maps (..., n_out, n_in)."""


class Shape(NamedTuple):
    """The problem that a kernel solves: a map between two representations for each kernel position.

    Attributes:
        rep_in: representation of the input.
        rep_out: representation of the output.
        positions: number of kernel positions of a convolution; 1 of a linear layer.
        inputs: time steps of the input for each product with all positions: the stride of a convolution.
        outputs: time steps of the output for each product: the stride of a transposed convolution.
        move: multiplications in the time that memory takes for one coordinate in a change of basis and back.
    """

    rep_in: Representation
    rep_out: Representation
    positions: int = 1
    inputs: int = 1
    outputs: int = 1
    move: int = MOVE


class Kernel(Constants):
    """Base of kernels: :meth:`cost` estimates the time, and :meth:`forward` computes the map.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.

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
        """Multiplications in the time that it takes for each vector."""
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
