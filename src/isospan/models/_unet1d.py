"""U-Nets of time series."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from isospan._core.checks import check_count
from isospan.errors import OptionError, ShapeError
from isospan.models._condition import Condition
from isospan.models._conv_blocks import ConvBlock, ResidualBlock
from isospan.models._hidden import check_signal, hidden_representations
from isospan.nn import Conv1d, ConvTranspose1d
from isospan.nn._base.cached_weight import Freezes
from isospan.nn._base.layer import Device, check_features, to_device
from isospan.representations import Representation


class UNet1d(Freezes):
    r"""The U-Net of diffusion policies, equivariant: a series of actions to another, given an observation and a step.

    .. math:: f(\rho_\text{in} x, \rho_\text{cond} c, t) = \rho_\text{out} f(x, c, t)

    Each level has two residual blocks of two convolutions. A strided convolution downsamples by two after every level
    but the last. On the way up a transposed convolution upsamples by two, and the features of the same level on the way
    down are concatenated. The condition modulates every block (:class:`isospan.nn.FiLM`). It is an embedding of c by an
    :class:`EMLP`, and an embedding of the step by sinusoids and a small perceptron. RMSNorm normalizes every time step
    by itself.

    Series may have any length: where a level has odd length, the upsampled series is one step longer and is cut. Series
    are padded with zeros. With L widths the network commutes with shifts by multiples of :math:`2^{L-1}` steps, except
    near the ends.

    For other programs, ``torch.export.export`` and ``torch.onnx.export`` take the network after :meth:`freeze`, with B
    and T open if they are ``Dim.DYNAMIC``. It has no ``export()``, since it is not a chain of layers.

    Args:
        rep_in: representation of the channels of x.
        rep_out: representation of those of y.
        rep_cond: representation of c; None where there is none.
        hidden_units: width of each level, rounded up to whole copies of the hidden representation.
        kernel_size: kernel positions of the convolutions; odd.
        cond_units: width of the embedding of c.
        step_embed_dim: width of the embedding of the step, even; None where there is none.
        activation: as in :class:`EMLP`.
        hidden_rep: as in :class:`EMLP`.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Shapes:
        x (B, rep_in.size, T), c (B, rep_cond.size) and t (B,) to y (B, rep_out.size, T), or all without B. A t of
        shape () is for all samples.

    Raises:
        GroupMismatchError, RepresentationError: as for :class:`EMLP`.
        OptionError: an unknown name, a width below 1, an even kernel_size; or a condition where there is none.
        MissingArgumentError: no condition where there is one.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Chi et al., Diffusion Policy: Visuomotor Policy Learning via Action Diffusion, 2023.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> legs = CyclicGroup(4).regular_representation
        >>> network = UNet1d(3 * legs, 3 * legs, rep_cond=2 * legs, hidden_units=(16, 32), step_embed_dim=16)
        >>> x, observation, step = torch.randn(8, 12, 15), torch.randn(8, 8), torch.randint(100, (8,))
        >>> network(x, observation, step).shape
        torch.Size([8, 12, 15])
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        rep_cond: Representation | None = None,
        hidden_units: Sequence[int] = (64, 128, 256),
        kernel_size: int = 5,
        cond_units: int = 64,
        step_embed_dim: int | None = None,
        activation: str = "Mish",
        hidden_rep: Representation | None = None,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if check_count(kernel_size, what="kernel_size") % 2 == 0:
            raise OptionError(f"Series keep their length with an odd kernel_size, got {kernel_size}. Add one.")
        self.rep_in: Representation = rep_in
        self.rep_out: Representation = rep_out
        self.rep_cond: Representation | None = rep_cond
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_signal(rep_in, hidden[0], rep_out, rep_cond)
        trivial, choices = rep_in.group.trivial_representation, {"activation": activation, "hidden_rep": hidden_rep}
        self.condition: Condition = Condition(trivial, rep_cond, cond_units, step_embed_dim, **choices)
        level = partial(Level, rep_cond=self.condition.rep_out, kernel_size=kernel_size, activation=activation)
        *above, deepest = pairwise([rep_in, *hidden])
        self.down: nn.ModuleList = nn.ModuleList(level(*reps) for reps in above)
        self.downsample: nn.ModuleList = nn.ModuleList(Conv1d(rep, rep, 3, stride=2, padding=1) for rep in hidden[:-1])
        self.middle: Level = level(*deepest)
        back = list(pairwise(hidden))[::-1]
        self.upsample: nn.ModuleList = nn.ModuleList(
            ConvTranspose1d(low, rep, 4, stride=2, padding=1) for rep, low in back
        )
        self.up: nn.ModuleList = nn.ModuleList(level(2 * rep, rep) for rep, _ in back)
        self.last: ConvBlock = ConvBlock(
            hidden[0], hidden[0], kernel_size, padding=kernel_size // 2, norm="rms", activation=activation
        )
        self.head: Conv1d = Conv1d(hidden[0], rep_out, 1)
        to_device(self, device, dtype)

    def forward(self, x: Tensor, cond: Tensor | None = None, step: Tensor | float | None = None) -> Tensor:
        """Return y (B, rep_out.size, T).

        Args:
            x: (B, rep_in.size, T).
            cond: (B, rep_cond.size).
            step: (B,), or one for all samples.
        """
        check_features(x, self.rep_in.size, dim=-2)
        if x.shape[-1] == 0:
            raise ShapeError(f"A series must have at least one step, got {tuple(x.shape)}.")
        c = self.condition(cond, step, x.shape[:-2])
        h, skips = x, []
        for level, downsample in zip(self.down, self.downsample, strict=True):
            h = level(h, c)
            skips.append(h)
            h = downsample(h)
        h = self.middle(h, c)
        for level, upsample in zip(self.up, self.upsample, strict=True):
            skip, h = skips.pop(), upsample(h)
            # a pad of -1 or 0 steps cuts: tracing a slice would fix whether the length is odd
            h = nn.functional.pad(h, (0, skip.shape[-1] - h.shape[-1]))
            h = level(torch.cat([h, skip], dim=-2), c)
        return self.head(self.last(h))


class Level(nn.Module):
    """Two residual blocks."""

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        rep_cond: Representation | None,
        *,
        kernel_size: int,
        activation: str,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"kernel_size": kernel_size, "activation": activation}
        self.first: ResidualBlock = ResidualBlock(rep_in, rep_out, rep_cond, **options)
        self.second: ResidualBlock = ResidualBlock(rep_out, rep_out, rep_cond, **options)

    def forward(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Return y (B, rep_out.size, T)."""
        return self.second(self.first(x, cond), cond)
