"""Equivariant maps between any representations, from their spectral bases."""

from torch import Tensor
from torch.nn.functional import pad

from isospan._core.autocast import full_precision
from isospan.nn._constants import Constants, basis_key
from isospan.nn._copies import copies_of, trivial_copies
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import HomBasis
from isospan.representations._hom_basis import irrep_basis_map as spectral_map


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
