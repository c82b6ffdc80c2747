"""The newest steps of a window of a time series."""

from torch import Tensor, nn

from isospan._core.checks import check_count, check_floating
from isospan.errors import OptionError, ShapeError


class LatestSteps(nn.Module):
    """The newest steps of a window, as many as convolutions without padding see to the last.

    Args:
        channels: of the series.
        layers: number of convolutions.
        kernel_size: taps of each.
        stride: steps of each.
        window: number of steps that a series must have; any that are enough where None.

    Attributes:
        receptive_field: how many steps are enough.
    """

    def __init__(self, channels: int, layers: int, kernel_size: int, stride: int, window: int | None) -> None:
        super().__init__()
        k, s = check_count(kernel_size, what="kernel_size"), check_count(stride, what="stride")
        self.channels = channels
        self.receptive_field = 1 + (k - 1) * sum(s**i for i in range(layers))
        self.spacing = s**layers
        self.window = None if window is None else check_count(window, what="window")
        if self.window is not None and self.window < self.receptive_field:
            raise OptionError(
                f"A window must have at least {self.receptive_field} steps for {layers} convolutions of kernel size "
                f"{k} and stride {s}, got window={window}. Use fewer hidden_units, a smaller kernel or stride."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the newest steps (B, channels, T') of x (B, channels, T)."""
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
        """Whether windows may have so many steps."""
        return window >= self.receptive_field if self.window is None else window == self.window

    @property
    def lengths(self) -> str:
        """The same in words."""
        return f">= {self.receptive_field}, the receptive field" if self.window is None else f"= {self.window}"

    def surplus(self, window: int) -> int:
        """How many of the oldest steps of a window are left out."""
        return (window - self.receptive_field) % self.spacing

    def features(self, window: int) -> int:
        """How many times the last layer has features of."""
        return 1 + (window - self.receptive_field) // self.spacing
