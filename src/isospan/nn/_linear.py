"""Equivariant linear layers, and what they share with convolutions."""

from math import prod

import torch
from torch import Tensor

from isospan.nn._base.cached_weight import Freezable, plain_linear
from isospan.nn._base.copies import copies_of, trivial_copies
from isospan.nn._base.inputs import check_features
from isospan.nn._kernels.dense import EquivariantMaps, SpectralMaps
from isospan.nn._kernels.grouped import GroupedMaps
from isospan.nn._kernels.invariant_vectors import InvariantVectors
from isospan.nn._kernels.isotypic import IsotypicMaps, saves_time
from isospan.representations import Representation
from isospan.representations.representation import check_same_group

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


WIDE = 256
"""Features, in and out, from which products irrep by irrep outweigh that there are several of them, on a CPU."""


class Linear(DenseMap):
    r"""An equivariant affine map, :math:`y = W x + b` with :math:`W \rho_\text{in}(g) = \rho_\text{out}(g) W`.

    Its parameters are the coefficients of W in an orthonormal basis of the equivariant maps, and those of b in one of
    the invariant vectors. Irreps of the output that the input lacks stay zero. At first W preserves the variance of
    white inputs and b is zero. ``weight`` and ``bias`` are made of them; to set W, write its coefficients,
    ``layer.coefficients.data.copy_(HomBasis(rep_in, rep_out).coefficients(W))``.

    Where features are many, and irreps in bases that are quick to reach save most of the operations, it multiplies
    irrep by irrep; else, and where it is frozen or the group permutes all features, by the dense weight.

    Args:
        rep_in: how the group acts on x.
        rep_out: how it acts on y.
        bias: whether to add b; there is none where the output has no invariant vector.
        device: of the parameters.
        dtype: of the parameters.

    Shapes:
        x (..., rep_in.size) to y (..., rep_out.size).

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: they share no irrep.
        ShapeError, DtypeError: what the message says.

    Source: Finzi, Welling and Wilson, A Practical Method for Constructing Equivariant Multilayer Perceptrons, 2021.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> from isospan.testing import assert_equivariant
        >>> regular = CyclicGroup(4).regular_representation
        >>> layer = Linear(regular, 2 * regular)
        >>> layer.coefficients.shape, layer.weight.shape
        (torch.Size([8]), torch.Size([8, 4]))
        >>> assert_equivariant(layer, layer.rep_in, layer.rep_out)
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep_in, rep_out, taps=(), bias=bias)
        self.in_features, self.out_features = rep_in.size, rep_out.size
        self._start(device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size)."""
        check_features(x, self.in_features)
        by_irrep = self.by_irrep
        if by_irrep is None or self.is_frozen:
            return torch.nn.functional.linear(x, *self.dense())
        samples = x.reshape(-1, self.in_features).mT.unsqueeze(0)  # at the place of times of one signal
        y = by_irrep.image(samples, self.coefficients, lambda piece, maps: maps @ piece).squeeze(0)
        y, bias = y.mT.contiguous().view(*x.shape[:-1], self.out_features), self.bias
        return y if bias is None else y + bias.to(y.dtype)  # autocast lowers y alone

    def export(self) -> torch.nn.Linear:
        """Return a plain linear layer of the same map that shares nothing with this one."""
        return plain_linear(*self.dense()).train(self.training)

    def _kind(self, taps: int, stride: int) -> Kind:
        is_gathered = self.rep_in.is_permutation and self.rep_out.is_permutation
        is_wide = min(self.rep_in.size, self.rep_out.size) >= WIDE
        return super()._kind(taps, stride) if is_wide and not is_gathered else EquivariantMaps

    def extra_repr(self) -> str:
        """The sizes of input and output."""
        return f"{self.rep_in.name} -> {self.rep_out.name}, bias={self.bias_coefficients is not None}"
