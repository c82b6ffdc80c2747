"""Dense weights of equivariant maps, from their coefficients."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from isospan._core.autocast import full_precision
from isospan.nn._base.components import components_of, trivial_component
from isospan.nn._base.layer import Constants, Device, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.nn._kernels.kernel import Kernel, Shape, basis_of_maps
from isospan.nn._kernels.permuted import PermutedMaps
from isospan.representations import HomBasis, Representation
from isospan.representations._hom_basis import irrep_basis_map
from isospan.representations._irrep_basis import have_one_basis


class IrrepBasisMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), by a change of basis on both sides.

    Args:
        basis: of the maps.
    """

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        self._bands = basis.bands
        self.source: ChangeOfBasis = ChangeOfBasis(basis.rep_in)
        # one module with two names would be swapped twice by functional calls, and put back once
        self.target: ChangeOfBasis | None = (
            None if have_one_basis(basis.rep_in, basis.rep_out) else ChangeOfBasis(basis.rep_out)
        )
        self._size, self._trivial = basis.rep_out.size, trivial_component(components_of(basis.rep_out))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        with full_precision(coefficients):
            in_irrep_bases = irrep_basis_map(coefficients, self._bands)
        return self._target.inverse(self.source.inverse(in_irrep_bases).mT).mT

    def invariant(self, coefficients: Tensor) -> Tensor:
        """The invariant vector (n_out,) of coefficients (m,) of the trivial irreps."""
        return self._target.inverse(pad(coefficients, (self._trivial.start, self._size - self._trivial.stop)))

    @property
    def _target(self) -> ChangeOfBasis:
        return self.source if self.target is None else self.target


class EquivariantMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension) in a basis of all of them.

    Its constants are buffers, so it follows ``.to`` and traces to plain operations. No buffer is
    larger than W, or the change of basis of one side. Where the group permutes both sides, W takes one
    gather; else a change of basis on both sides.

    Args:
        rep_in: representation of the input of W.
        rep_out: representation of its output.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        dimension: number of coefficients.
        is_gathered: whether the group permutes both sides.

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep, so that only the zero map is equivariant.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(2).regular_representation
        >>> EquivariantMaps(regular, regular)(torch.tensor([1.0, 1.0])).round(decimals=4)
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.basis: HomBasis = basis_of_maps(rep_in, rep_out)
        self.dimension: int = self.basis.dimension
        self.is_gathered: bool = rep_in.is_permutation and rep_out.is_permutation
        self.synthesis: PermutedMaps | IrrepBasisMaps = (
            PermutedMaps(self.basis) if self.is_gathered else IrrepBasisMaps(self.basis)
        )
        to_device(self, device, dtype)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        return self.synthesis(coefficients)


class Dense(Kernel):
    """The kernel that expands the dense weight and multiplies by it: by far the fastest for few features."""

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        Constants.__init__(self)
        self.maps = EquivariantMaps(rep_in, rep_out)
        self.basis, self.dimension = self.maps.basis, self.maps.dimension

    @staticmethod
    def cost(shape: Shape) -> float:
        """Multiplications of the dense product."""
        return shape.positions * shape.rep_out.size * shape.rep_in.size

    def expand(self, coefficients: Tensor) -> Tensor:
        """W (..., n_out, n_in)."""
        return self.maps(coefficients)
