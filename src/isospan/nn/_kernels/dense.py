"""Dense weights of equivariant maps, from their coefficients."""

from torch import Tensor
from torch.nn.functional import pad

from isospan._core.autocast import full_precision
from isospan.nn._base.constants import Constants, basis_key
from isospan.nn._base.copies import copies_of, trivial_copies
from isospan.nn._bases import ChangeOfBasis
from isospan.nn._kernels.hom import basis_of_maps
from isospan.nn._kernels.permuted import PermutedMaps
from isospan.representations import HomBasis, Representation
from isospan.representations.hom_basis import spectral_map


class SpectralMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension), by a change of basis on both sides.

    Args:
        basis: of the maps.
    """

    def __init__(self, basis: HomBasis) -> None:
        super().__init__()
        self._bands = basis.bands
        self.source = ChangeOfBasis.shared(basis.rep_in)
        # one module with two names would be swapped twice by functional calls, and put back once
        is_one = basis_key(basis.rep_out) == basis_key(basis.rep_in)
        self.target = None if is_one else ChangeOfBasis.shared(basis.rep_out)
        self._size, self._trivial = basis.rep_out.size, trivial_copies(copies_of(basis.rep_out))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        with full_precision(coefficients):
            spectral = spectral_map(coefficients, self._bands)
        return self._target.inverse(self.source.inverse(spectral).mT).mT

    def invariant(self, coefficients: Tensor) -> Tensor:
        """The vector (n_out,) that the group leaves as it is, of the coefficients (m,) of the trivial irreps."""
        return self._target.inverse(pad(coefficients, (self._trivial.start, self._size - self._trivial.stop)))

    @property
    def _target(self) -> ChangeOfBasis:
        return self.source if self.target is None else self.target


class EquivariantMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension) in the basis of :class:`HomBasis`.

    It holds what this takes as buffers, so that it moves with the module that owns it and traces to plain operations:
    no buffer is larger than W, or the change of basis of one side. Where the group permutes both sides, W takes one
    gather; else a change of basis on both sides.

    Args:
        rep_in: how the group acts on what W maps.
        rep_out: how it acts on what W maps to.

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

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__()
        self.basis = basis_of_maps(rep_in, rep_out)
        self.dimension = self.basis.dimension
        self.is_gathered = rep_in.is_permutation and rep_out.is_permutation
        self.synthesis = PermutedMaps(self.basis) if self.is_gathered else SpectralMaps(self.basis)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        return self.synthesis(coefficients)
