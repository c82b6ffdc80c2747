"""Equivariant convolutions over time."""

from __future__ import annotations  # a tracer of torch 2.4 does not take those of functions in functions

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv_transpose1d, pad

from isospan._core.checks import check_choice
from isospan.errors import OptionError, ShapeError
from isospan.nn._base.inputs import check_features
from isospan.nn._kernels import grouped as grouped_maps
from isospan.nn._kernels.dense import EquivariantMaps
from isospan.nn._kernels.grouped import GroupedMaps
from isospan.nn._linear import DenseMap, Kind
from isospan.representations import Representation

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def whole(value: int | tuple[int], *, least: int, what: str) -> int:
    """A whole number of at least ``least``, from itself or a tuple of it."""
    number = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise OptionError(f"{what} must be a whole number of at least {least}, got {value!r}.")
    return number


def padding_sides(padding: int | tuple[int] | str, *, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Numbers of entries to pad on the left and on the right.

    Raises:
        OptionError: an unknown name, or "same" with a stride.
    """
    if not isinstance(padding, str):
        number = whole(padding, least=0, what="padding")
        return number, number
    check_choice(padding, ("valid", "same"), what="padding")
    if padding == "valid":
        return 0, 0
    if stride != 1:
        raise OptionError(f"padding='same' keeps the length, so the stride must be 1, got {stride}. Pass a number.")
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2


class Convolution(DenseMap):
    """Base of convolutions each of whose taps is an equivariant map.

    Where channels are many, and irreps save most of the operations, the signals are convolved irrep by irrep, or in
    groups of channels where these are few and taps many; else, and where the layer is frozen, with the dense weight.

    Args:
        rep_in: how the group acts on the channels of the input.
        rep_out: how it acts on those of the output.
        kernel_size: number of taps.
        stride: as in torch.
        dilation: as in torch.
        bias: whether to add an invariant bias.
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        *,
        kernel_size: int | tuple[int],
        stride: int | tuple[int],
        dilation: int | tuple[int],
        bias: bool,
    ) -> None:
        taps = whole(kernel_size, least=1, what="kernel_size")
        step = whole(stride, least=1, what="stride")
        super().__init__(rep_in, rep_out, taps=(taps,), bias=bias, stride=step)
        self.kernel_size, self.stride = taps, step
        self.in_channels, self.out_channels = rep_in.size, rep_out.size
        self.dilation = whole(dilation, least=1, what="dilation")

    def _convolved(self, x: Tensor, convolve: Callable[..., Tensor]) -> Tensor:
        """The convolution of signals (B, rep_in.size, T), or without B.

        Args:
            x: the signals.
            convolve: the function of signals, a weight, a bias and ``groups=1``.
        """
        by_irrep = self.by_irrep
        if by_irrep is None or self.is_frozen:
            return convolve(x, *self.dense())
        signals, bias = x if x.dim() == 3 else x.unsqueeze(0), self.bias

        def product(piece: Tensor, maps: Tensor, groups: int = 1) -> Tensor:
            return convolve(piece, self._laid_out(maps), None, groups=groups)

        y = by_irrep.image(signals, self.coefficients, product)
        y = y if x.dim() == 3 else y.squeeze(0)
        return y if bias is None else y + bias.to(y.dtype).unsqueeze(-1)  # autocast lowers y alone

    def _check(self, x: Tensor) -> None:
        check_features(x, self.in_channels, dim=-2)
        if x.dim() > 3:
            raise ShapeError(
                f"The input must have shape (B, D, T) or (D, T), got {tuple(x.shape)}. Flatten the leading dimensions."
            )

    def _synthesized(self) -> Tensor:
        return self._laid_out(self.maps(self.coefficients))

    def _laid_out(self, maps: Tensor) -> Tensor:
        """The weight in torch's order, of taps (kernel_size, n_out, n_in)."""
        raise NotImplementedError


SOME_TAPS, SHORT, MANY_TAPS = 9, 128, 15
"""Taps of short signals, the longest of these, and taps of any, from which torch convolves faster on a CPU by weights
whose channels of the input are next to each other in memory."""


class Conv1d(Convolution):
    r"""A convolution over time each of whose taps is an equivariant map, with the arguments of torch.nn.Conv1d.

    .. math:: y_t = b + \sum_k W_k \, x_{\text{stride} \cdot t + \text{dilation} \cdot k},
              \qquad W_k \rho_\text{in}(g) = \rho_\text{out}(g) W_k

    At first it preserves the variance of inputs that are white in channels and time.

    Args:
        rep_in: how the group acts on the channels of x.
        rep_out: how it acts on those of y.
        kernel_size: number of taps.
        stride: steps of the input for each of the output.
        padding: entries on both sides, or "valid" for none, or "same" for as many as keep the length.
        dilation: steps of the input between taps.
        bias: whether to add an invariant bias.
        padding_mode: what the padding holds.
        device: of the parameters.
        dtype: of the parameters.

    Shapes:
        x (B, rep_in.size, T) to y (B, rep_out.size, T'), or both without B.

    Raises:
        OptionError: an argument that torch.nn.Conv1d refuses as well.
        GroupMismatchError, RepresentationError, ShapeError, DtypeError: as for :class:`Linear`.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> Conv1d(regular, 2 * regular, kernel_size=3, padding="same")(torch.zeros(5, 4, 10)).shape
        torch.Size([5, 8, 10])
    """

    padding_mode: PaddingMode

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str = 0,
        dilation: int | tuple[int] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep_in, rep_out, kernel_size=kernel_size, stride=stride, dilation=dilation, bias=bias)
        check_choice(padding_mode, PADDING_MODES, what="padding_mode")
        self.padding, self.padding_mode = padding, padding_mode
        self._sides = padding_sides(padding, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation)
        self._tap_gain = self.kernel_size**-0.5
        self._start(device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (B, rep_out.size, T')."""
        self._check(x)
        left, right = self._sides
        symmetric = self.padding_mode == "zeros" and left == right
        if not symmetric:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = pad(x, (left, right), mode=mode)
        padding = left if symmetric else 0
        side_by_side = self._is_side_by_side(x)

        def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
            # torch 2.8 compiles the gradient of a weight of groups as if it were contiguous
            is_kept = side_by_side if groups == 1 else not torch.compiler.is_compiling()
            weight = weight if is_kept else weight.contiguous()
            return conv1d(x, weight, bias, self.stride, padding, self.dilation, groups)

        return self._convolved(x, convolve).contiguous()  # the memory of the weight decides that of the output

    def _is_side_by_side(self, x: Tensor) -> bool:
        """Whether the weight is to be laid out with the channels of the input next to each other."""
        if x.device.type != "cpu" or self.kernel_size < SOME_TAPS:
            return False
        # a graph that asks for the length holds for this one alone
        return self.kernel_size >= MANY_TAPS or (not torch.compiler.is_compiling() and x.shape[-1] <= SHORT)

    def export(self) -> torch.nn.Conv1d:
        """Return a plain convolution of the same map that shares nothing with this one."""
        plain = torch.nn.Conv1d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            bias=self.bias_coefficients is not None,
            padding_mode=self.padding_mode,
            device="meta",
            dtype=self.coefficients.dtype,
        )
        return self._filled(plain)

    def _laid_out(self, maps: Tensor) -> Tensor:
        weight = maps.permute(1, 2, 0)
        return weight.mT.contiguous().mT if self.kernel_size >= SOME_TAPS else weight.contiguous()

    def _kind(self, taps: int, stride: int) -> Kind:
        kind = super()._kind(taps, stride)
        if kind is EquivariantMaps and grouped_maps.saves_time(self.rep_in, self.rep_out, taps=taps, stride=stride):
            return GroupedMaps
        return kind

    def extra_repr(self) -> str:
        """What was asked for."""
        return (
            f"{self.rep_in.name} -> {self.rep_out.name}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding!r}, dilation={self.dilation}, bias={self.bias_coefficients is not None}, "
            f"padding_mode={self.padding_mode!r}"
        )


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
