"""Equivariant transposed convolutions over time."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose1d

from isospan._core.checks import check_choice
from isospan.errors import OptionError
from isospan.nn._conv_arguments import whole
from isospan.nn._convolution import Convolution
from isospan.representations import Representation


class ConvTranspose1d(Convolution):
    r"""A transposed convolution over time, which lengthens it, with the arguments of torch.nn.ConvTranspose1d.

    .. math:: y_{\text{stride} \cdot t + \text{dilation} \cdot k - \text{padding}} \mathrel{+}= W_k x_t,
              \qquad W_k \rho_\text{in}(g) = \rho_\text{out}(g) W_k

    At first it preserves the variance of inputs that are white in channels and time.

    Args:
        rep_in: how the group acts on the channels of x.
        rep_out: how it acts on those of y.
        kernel_size: number of taps.
        stride: steps of the output for each of the input.
        padding: entries that are cut off on both sides of the output.
        output_padding: entries that are added on its right.
        bias: whether to add an invariant bias.
        dilation: steps of the output between taps.
        padding_mode: "zeros", as in torch.
        device: of the parameters.
        dtype: of the parameters.

    Shapes:
        x (B, rep_in.size, T) to y (B, rep_out.size, T') with T' = (T - 1) stride - 2 padding
        + dilation (kernel_size - 1) + output_padding + 1, or both without B.

    Raises:
        OptionError: an argument that torch.nn.ConvTranspose1d refuses as well.
        GroupMismatchError, RepresentationError, ShapeError, DtypeError: as for :class:`Linear`.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> ConvTranspose1d(regular, regular, kernel_size=4, stride=2, padding=1)(torch.zeros(5, 4, 10)).shape
        torch.Size([5, 4, 20])
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        padding_mode: str = "zeros",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep_in, rep_out, kernel_size=kernel_size, stride=stride, dilation=dilation, bias=bias)
        self.padding = whole(padding, least=0, what="padding")
        self.output_padding = whole(output_padding, least=0, what="output_padding")
        self.padding_mode = check_choice(padding_mode, ("zeros",), what="padding_mode of a transposed convolution")
        self._check_output_padding()
        self._tap_gain = max(self.kernel_size / self.stride, 1) ** -0.5
        self._start(device, dtype)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return y (B, rep_out.size, T').

        Args:
            x: (B, rep_in.size, T).
            output_size: T' as the last entry, which then decides the output padding.

        Raises:
            OptionError: no output padding below the stride leads to this size.
        """
        self._check(x)
        extra = self.output_padding if output_size is None else self._padding_for(x.shape[-1], output_size[-1])
        arguments = {"stride": self.stride, "padding": self.padding, "output_padding": extra, "dilation": self.dilation}
        return self._convolved(x, partial(conv_transpose1d, **arguments))

    def export(self) -> torch.nn.ConvTranspose1d:
        """Return a plain transposed convolution of the same map that shares nothing with this one."""
        plain = torch.nn.ConvTranspose1d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.output_padding,
            bias=self.bias_coefficients is not None,
            dilation=self.dilation,
            device="meta",
            dtype=self.coefficients.dtype,
        )
        return self._filled(plain)

    def _laid_out(self, maps: Tensor) -> Tensor:
        return maps.permute(2, 1, 0).contiguous()

    def _padding_for(self, length: int, target: int) -> int:
        least = (length - 1) * self.stride - 2 * self.padding + self.dilation * (self.kernel_size - 1) + 1
        if not least <= target < least + self.stride:
            raise OptionError(
                f"An input of length {length} leads to lengths {least} to {least + self.stride - 1}, got an "
                f"output_size of {target}. Change the stride, or leave output_size out."
            )
        return target - least

    def _check_output_padding(self) -> None:
        if self.output_padding and self.output_padding >= max(self.stride, self.dilation):
            raise OptionError(
                f"output_padding must be less than the stride or the dilation, got {self.output_padding} with stride "
                f"{self.stride} and dilation {self.dilation}. Use a larger stride."
            )

    def extra_repr(self) -> str:
        """What was asked for."""
        return (
            f"{self.rep_in.name} -> {self.rep_out.name}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, output_padding={self.output_padding}, dilation={self.dilation}, "
            f"bias={self.bias_coefficients is not None}"
        )
