"""Equivariant maps from their coefficients, as a module without parameters."""

from torch import Tensor

from isospan.errors import RepresentationError
from isospan.nn._constants import Constants, full_precision
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import HomBasis, Representation
from isospan.representations.hom_basis import spectral_map


class EquivariantMaps(Constants):
    r"""The map W (..., n_out, n_in) of coefficients (..., dimension) in the basis of :class:`HomBasis`.

    It holds what this takes as buffers, so that it moves with the module that owns it and traces to plain operations:
    no buffer is larger than the change of basis of one side.

    Args:
        rep_in: how the group acts on what W maps.
        rep_out: how it acts on what W maps to.

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
        basis = HomBasis(rep_in, rep_out)
        _check_shared(basis)
        self.basis = basis
        self.dimension = basis.dimension
        self._bands = basis.bands
        self._units = [f"units_{i}" for i in range(len(basis.units))]
        for name, E in zip(self._units, basis.units, strict=True):
            self.register_constant(name, E)
        self.source = ChangeOfBasis(rep_in)
        self.target = self.source if rep_out == rep_in else ChangeOfBasis(rep_out)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return W (..., n_out, n_in)."""
        with full_precision(coefficients):
            units = [getattr(self, name).to(coefficients.dtype) for name in self._units]
            spectral = spectral_map(coefficients, self._bands, units)
        return self.target.inverse(self.source.inverse(spectral).mT).mT


def _check_shared(basis: HomBasis) -> None:
    if not basis.dimension:
        ours, theirs = ([c.irrep.name for c in rep.isotypic] for rep in (basis.rep_in, basis.rep_out))
        raise RepresentationError(
            f"Equivariant maps need an irrep that both representations contain, got {ours} in {basis.rep_in.name!r} "
            f"and {theirs} in {basis.rep_out.name!r}: only the zero map commutes. Add copies of the missing irreps."
        )
