"""Dense weights of equivariant maps."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from isospan._core.autocast import full_precision
from isospan.nn._base.components import invariant_count
from isospan.nn._base.layer import Constants, Device, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.nn._kernels.kernel import Kernel, basis_of_maps, have_one_basis
from isospan.nn._kernels.permuted import PermutedMaps
from isospan.representations import HomBasis, Representation
from isospan.representations._hom_basis import irrep_basis_map


class IrrepBasisMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), by a change of basis on both sides.

    Args:
        basis: of the maps.
    """

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        self._bands = basis.bands
        self.source: ChangeOfBasis = ChangeOfBasis(basis.rep_in)
        # a functional call swaps a module with two names twice, and restores it once
        self.target: ChangeOfBasis | None = (
            None if have_one_basis(basis.rep_in, basis.rep_out) else ChangeOfBasis(basis.rep_out)
        )
        self._others = basis.rep_out.size - invariant_count(basis.rep_out)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        with full_precision(coefficients):
            in_irrep_bases = irrep_basis_map(coefficients, self._bands)
        return self._target.inverse(self.source.inverse(in_irrep_bases).mT).mT

    def invariant(self, coefficients: Tensor) -> Tensor:
        """The invariant vector (n_out,) of coefficients (m,) of the trivial irreps."""
        return self._target.inverse(pad(coefficients, (0, self._others)))

    @property
    def _target(self) -> ChangeOfBasis:
        return self.source if self.target is None else self.target


class EquivariantMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension) in a basis of all of them.

    Its constants are buffers, so it follows ``.to`` and traces to plain operations. No buffer is larger than W, or than
    the change of basis of one side. Where the group permutes both sides, a gather expands W; otherwise, a change of
    basis on both sides.

    Args:
        rep_in: representation of the input of W.
        rep_out: representation of its output.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        basis: of the equivariant maps.
        dimension: number of coefficients.

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
        is_permuted = rep_in.is_permutation and rep_out.is_permutation
        self.synthesis: PermutedMaps | IrrepBasisMaps = (PermutedMaps if is_permuted else IrrepBasisMaps)(self.basis)
        to_device(self, device, dtype)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        return self.synthesis(coefficients)


class Dense(Kernel):
    """The kernel that expands the dense weight and multiplies by it: the fastest one for few features."""

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        maps = EquivariantMaps(rep_in, rep_out)
        super().__init__(maps.basis)
        self.maps = maps

    def expand(self, coefficients: Tensor) -> Tensor:
        """W (..., n_out, n_in)."""
        return self.maps(coefficients)
