"""Convolutions with a condition and a way around them."""

from torch import Tensor, nn

from isospan.models.conv_block import ConvBlock
from isospan.nn.conv1d import Conv1d
from isospan.nn.film import FiLM
from isospan.representations import Representation


class ResidualBlock(nn.Module):
    """Two layers of convolutions, between which a condition modulates the features, added to the input.

    Args:
        rep_in: how the group acts on the input, which is mapped linearly where it is not ``rep_out``.
        rep_out: how it acts on the output.
        rep_cond: how it acts on the condition; None where there is none.
        kernel_size: number of taps; odd, so that series keep their length.
        activation: see :class:`ConvBlock`.
    """

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
        first, second = (
            ConvBlock(rep, rep_out, kernel_size, padding=kernel_size // 2, norm="rms", activation=activation)
            for rep in (rep_in, rep_out)
        )
        self.first, self.second = first, second
        self.film = None if rep_cond is None else FiLM(rep_out, rep_cond)
        self.around = nn.Identity() if rep_in == rep_out else Conv1d(rep_in, rep_out, 1)

    def forward(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Return y (B, rep_out.size, T) of x (B, rep_in.size, T) and conditions (B, rep_cond.size)."""
        h = self.first(x)
        if self.film is not None:
            h = self.film(h, cond)
        return self.second(h) + self.around(x)
