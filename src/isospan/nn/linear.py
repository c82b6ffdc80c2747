"""Equivariant linear maps."""

import torch
from torch import Tensor

from isospan.nn._inputs import check_features
from isospan.nn._plain_linear import plain_linear
from isospan.nn.dense_map import DenseMap, Kind
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.representations import Representation

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
