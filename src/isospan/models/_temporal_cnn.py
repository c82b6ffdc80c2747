"""Temporal convolutional encoders of time series."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from isospan._core.checks import check_count, check_floating
from isospan.errors import OptionError, ShapeError
from isospan.models._conv_blocks import ConvBlock, Norm
from isospan.models._hidden import check_signal, hidden_representations
from isospan.nn import Conv1d
from isospan.nn._base.cached_weight import Freezes
from isospan.nn._base.layer import Device, to_device
from isospan.representations import Representation


class LatestSteps(nn.Module):
    """The latest steps of a window: those that convolutions without padding use, all of them.

    Args:
        channels: of the series.
        layers: number of convolutions.
        kernel_size: kernel positions of each.
        stride: steps of each.
        window: number of steps that a series must have; where None, any number from the receptive field on.

    Attributes:
        receptive_field: the fewest steps that the convolutions need.
    """

    def __init__(self, channels: int, layers: int, kernel_size: int, stride: int, window: int | None) -> None:
        super().__init__()
        k, s = check_count(kernel_size, what="kernel_size"), check_count(stride, what="stride")
        self.channels = channels
        self.receptive_field: int = 1 + (k - 1) * sum(s**i for i in range(layers))
        self.spacing: int = s**layers
        self.window: int | None = None if window is None else check_count(window, what="window")
        if self.window is not None and self.window < self.receptive_field:
            raise OptionError(
                f"A window must have at least {self.receptive_field} steps for {layers} convolutions of kernel size "
                f"{k} and stride {s}, got window={window}. Use fewer hidden_units, a smaller kernel or stride."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the latest steps (B, channels, T') of x (B, channels, T)."""
        check_floating(x, what="The windows")
        T = x.shape[-1]
        if x.dim() != 3 or x.shape[1] != self.channels or not self.takes(T):
            raise ShapeError(
                f"Windows must have shape (B, D, T) with D = {self.channels} and T {self.lengths}, got "
                f"{tuple(x.shape)}. Check the order of the axes, or build the network for these windows."
            )
        return nn.functional.pad(
            x, (-self.surplus(T), 0)
        )  # a slice would be traced for lengths with a surplus, or none

    def takes(self, window: int) -> bool:
        """Whether windows may have ``window`` steps."""
        return window >= self.receptive_field if self.window is None else window == self.window

    @property
    def lengths(self) -> str:
        """The condition on the number of steps, in words."""
        return f">= {self.receptive_field}, the receptive field" if self.window is None else f"= {self.window}"

    def surplus(self, window: int) -> int:
        """Number of the oldest steps of a window that are not used."""
        return (window - self.receptive_field) % self.spacing

    def features(self, window: int) -> int:
        """Number of time steps of the last layer's features."""
        return 1 + (window - self.receptive_field) // self.spacing


class TemporalCNN(Freezes):
    r"""An equivariant encoder of windows of a time series to a vector.

    Strided convolutions without padding, each with a normalization and an activation, and an equivariant linear map of
    the last features. With kernel size k and stride s, one feature of the last of L layers depends on

    .. math:: R = 1 + (k - 1) (1 + s + \dots + s^{L-1})

    steps, and neighbours are s^L steps apart. Where a window is not R plus a multiple of s^L, its oldest steps are not
    used, but the latest always are.

    ``torch.export.export`` takes the network after :meth:`freeze`. It leaves T open if that is ``Dim.DYNAMIC`` and all
    windows, the example too, have at least R + s^L steps, so that the last layer has two features or more.

    Args:
        rep_in: representation of the channels of the series.
        rep_out: representation of the vector.
        hidden_units: widths of the convolutions, rounded up to whole copies of the hidden representation.
        kernel_size: kernel positions of each convolution.
        stride: steps of each convolution.
        window: number of steps of all windows. The linear map is then of all features of the last layer at all times.
            Where None, it is of their means over time, and windows may have any length of at least R.
        norm: "batch" for :class:`isospan.nn.BatchNorm1d`, "rms" for :class:`isospan.nn.RMSNorm` at every time, or None.
        activation: as in :class:`EMLP`.
        hidden_rep: as in :class:`EMLP`.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        receptive_field: R, the fewest steps of a window.

    Shapes:
        x (B, rep_in.size, T) to y (B, rep_out.size).

    Raises:
        GroupMismatchError, RepresentationError: as for :class:`EMLP`.
        OptionError: an unknown name, a number below 1, or a window shorter than R.
        ShapeError: a wrong number of channels, or too few steps.

    Example:
        >>> import torch
        >>> from isospan.groups import CyclicGroup
        >>> from isospan.testing import assert_equivariant
        >>> legs = CyclicGroup(4).regular_representation
        >>> encoder = TemporalCNN(3 * legs, legs, hidden_units=(32, 32))
        >>> encoder.receptive_field, encoder(torch.randn(8, 12, 50)).shape
        (7, torch.Size([8, 4]))
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        hidden_units: Sequence[int] = (64, 128, 128),
        kernel_size: int = 3,
        stride: int = 2,
        window: int | None = None,
        norm: Norm = "batch",
        activation: str = "ReLU",
        hidden_rep: Representation | None = None,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.rep_in: Representation = rep_in
        self.rep_out: Representation = rep_out
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_signal(rep_in, hidden[0], rep_out)
        self.latest: LatestSteps = LatestSteps(rep_in.size, len(hidden), kernel_size, stride, window)
        self.receptive_field: int = self.latest.receptive_field
        blocks = [
            ConvBlock(a, b, kernel_size, stride=stride, norm=norm, activation=activation)
            for a, b in pairwise([rep_in, *hidden])
        ]
        self.blocks: nn.Sequential = nn.Sequential(*blocks)
        self.pool: nn.AdaptiveAvgPool1d | nn.Identity = nn.AdaptiveAvgPool1d(1) if window is None else nn.Identity()
        # a map of all features at all times is a convolution that is as long as they are
        self.head: Conv1d = Conv1d(hidden[-1], rep_out, 1 if window is None else self.latest.features(window))
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (B, rep_out.size) of windows x (B, rep_in.size, T)."""
        return self.head(self.pool(self.blocks(self.latest(x)))).flatten(1)

    def export(self, window: int | None = None) -> nn.Sequential:
        """Return a torch.nn.Sequential of the same function in evaluation, which shares nothing with this network.

        Args:
            window: number of steps of its windows, since torch has no module that takes the latest steps of any
                window; by default that of this network.

        Raises:
            OptionError: no number of steps, or one that does not fit; or torch has no module for a part: norm="rms",
                and the activations where the group mixes coordinates of the hidden layers.
        """
        window = self.latest.window if window is None else window
        if window is None or not self.latest.takes(window):
            raise OptionError(
                f"A plain network is for windows of one length, {self.latest.lengths}, got window={window}. Pass it."
            )
        surplus = nn.ConstantPad1d((-self.latest.surplus(window), 0), 0.0)
        layers = [layer for block in self.blocks for layer in cast(ConvBlock, block).export()]
        return nn.Sequential(surplus, *layers, copy.deepcopy(self.pool), self.head.export(), nn.Flatten()).eval()
