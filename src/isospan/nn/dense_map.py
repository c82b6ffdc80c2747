"""What linear and convolutional layers share: coefficients of equivariant maps that make a dense weight."""

from math import prod

import torch
from torch import Tensor

from isospan.nn._copies import copies_of, trivial_copies
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.nn.freezable import Freezable
from isospan.nn.grouped_maps import GroupedMaps
from isospan.nn.invariant_vectors import InvariantVectors
from isospan.nn.isotypic_maps import IsotypicMaps, saves_time
from isospan.nn.spectral_maps import SpectralMaps
from isospan.representations import Representation, check_same_group

Kind = type[EquivariantMaps] | type[IsotypicMaps] | type[GroupedMaps]


class DenseMap(Freezable):
    """Base of layers whose weight is made of coefficients of equivariant maps, and whose bias is invariant.

    Args:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.
        taps: number of maps: () for one, (kernel_size,) for a convolution.
        bias: whether there is one, where the output has invariant vectors.
        stride: of a convolution.

    Attributes:
        coefficients: parameter ``(*taps, dimension)``, see :class:`isospan.representations.HomBasis`.
        bias_coefficients: parameter (m,), a number for each trivial irrep in the output; None where there is none.
    """

    coefficients: torch.nn.Parameter
    bias_coefficients: torch.nn.Parameter | None
    invariants: InvariantVectors
    _tap_gain: float = 1.0
    """Standard deviation of what one tap contributes: an output is the sum of several."""

    def __init__(
        self, rep_in: Representation, rep_out: Representation, *, taps: tuple[int, ...], bias: bool, stride: int = 1
    ) -> None:
        super().__init__(rep_in, rep_out)
        check_same_group(rep_in, rep_out)
        self.maps = self._kind(prod(taps), stride).shared(rep_in, rep_out)
        self.coefficients = torch.nn.Parameter(torch.empty(*taps, self.maps.dimension))
        m = trivial_copies(copies_of(rep_out)).multiplicity if bias else 0
        self.register_parameter("bias_coefficients", torch.nn.Parameter(torch.empty(m)) if m else None)
        if m and self._spectral is None:  # else the change of basis that the maps hold contains these vectors
            self.invariants = InvariantVectors.shared(rep_out)

    @property
    def by_irrep(self) -> IsotypicMaps | GroupedMaps | None:
        """What multiplies irrep by irrep; None where the dense weight does."""
        return None if isinstance(self.maps, EquivariantMaps) else self.maps

    @property
    def _spectral(self) -> SpectralMaps | None:
        """What makes the dense weight by a change of basis, where this does."""
        synthesis = self.maps.synthesis if isinstance(self.maps, EquivariantMaps) else None
        return synthesis if isinstance(synthesis, SpectralMaps) else None

    def _kind(self, taps: int, stride: int) -> Kind:
        """How to multiply in the least time."""
        return IsotypicMaps if saves_time(self.rep_in, self.rep_out, taps=taps) else EquivariantMaps

    def reset_parameters(self, *, gain: float = 1.0, generator: torch.Generator | None = None) -> None:
        """Draw coefficients that preserve the variance of white inputs times gain², and set the bias to zero."""
        with torch.no_grad():
            for tap in self.coefficients.view(-1, self.maps.dimension):
                self.maps.basis.init_(tap, gain=gain * self._tap_gain, generator=generator)
            if self.bias_coefficients is not None:
                self.bias_coefficients.zero_()

    def _start(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Draw the coefficients where they are asked for."""
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)
        self.reset_parameters()

    def _synthesized(self) -> Tensor:
        """The maps of all taps, ``(*taps, n_out, n_in)``; convolutions lay them out as torch does."""
        return self.maps(self.coefficients)

    def _spread_bias(self) -> Tensor | None:
        b, spectral = self.bias_coefficients, self._spectral
        if b is None:
            return None
        return self.invariants(b) if spectral is None else spectral.invariant(b)
