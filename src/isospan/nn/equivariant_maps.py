"""Equivariant maps from their coefficients, as a module without parameters."""

from torch import Tensor

from isospan.nn._constants import Constants
from isospan.nn._some_maps import basis_of_maps
from isospan.nn.permuted_maps import PermutedMaps
from isospan.nn.spectral_maps import SpectralMaps
from isospan.representations import Representation


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
