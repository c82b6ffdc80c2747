"""Positions of tokens, encoded in invariant features."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import RepresentationError, ShapeError
from isospan.nn._base.components import invariant_count
from isospan.nn._base.layer import Device, Layer, check_features, to_device
from isospan.representations import Representation

WAVELENGTH = 10_000
"""Longest wavelength over 2π, in tokens."""


class PositionalEncoding(Layer):
    r"""Add sinusoids of the position to the invariant features of each token.

    .. math:: y_t = x_t + Q_0 p_t, \qquad p_{t, 2i} = \sin(t / 10000^{2i / m}), \quad
              p_{t, 2i + 1} = \cos(t / 10000^{2i / m})

    The columns of Q_0 are the m trivial copies of the symmetry-adapted basis. An encoding in any other direction
    would not be invariant. For the trivial group it is that of the source. It has no parameters, and sequences may have
    any length.

    Args:
        rep: representation of every token.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        x (..., T, rep.size) to the same.

    Raises:
        RepresentationError: rep has no trivial copy.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Vaswani et al., Attention is all you need, 2017.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> PositionalEncoding(CyclicGroup(4).regular_representation)(torch.zeros(3, 4))
        tensor([[0.0000, 0.0000, 0.0000, 0.0000],
                [0.4207, 0.4207, 0.4207, 0.4207],
                [0.4546, 0.4546, 0.4546, 0.4546]])
    """

    invariants: Tensor

    def __init__(self, rep: Representation, *, device: Device = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(rep)
        m = invariant_count(rep)
        if not m:
            raise RepresentationError(
                f"Positions are encoded in invariant features, but {rep.name!r} has no trivial irrep. Add copies: "
                "rep + m * group.trivial_representation."
            )
        self.register_constant("invariants", rep.change_of_basis[:, :m].T)
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens with their positions, (..., T, rep.size)."""
        check_features(x, self.rep_in.size)
        if x.dim() < 2:
            raise ShapeError(f"Tokens must have shape (..., T, {self.rep_in.size}), got {tuple(x.shape)}.")
        with full_precision(x):
            p = sinusoids(x.shape[-2], len(self.invariants), self.invariants)
            return x + (p @ self.invariants.to(p.dtype)).to(x.dtype)


def sinusoids(length: int, count: int, like: Tensor) -> Tensor:
    """Sines and cosines p (length, count) in alternation, at least in single precision, which counts all tokens."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    t = torch.arange(length, dtype=dtype, device=like.device)
    exponents = torch.arange(0, count, 2, dtype=dtype, device=like.device) / count
    angles = t.unsqueeze(-1) * WAVELENGTH**-exponents
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[:, :count]
