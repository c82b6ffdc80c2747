"""Equivariant convolutions over time."""

from __future__ import annotations  # a tracer of torch 2.4 does not take those of functions in functions

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv_transpose1d, pad

from isospan._core.checks import check_choice
from isospan.errors import OptionError, ShapeError
from isospan.nn._base.cached_weight import filled
from isospan.nn._base.cost import KernelName, Shape
from isospan.nn._base.layer import Device, check_features
from isospan.nn._linear import DenseMap
from isospan.representations import Representation

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def whole(value: int | tuple[int], *, least: int, what: str) -> int:
    """A whole number of at least ``least``, given as a number or a tuple of one."""
    number = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
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
    """Base of convolutions over time: an equivariant map for each kernel position.

    Args:
        shape: the representations; ``positions`` is the kernel size.
        dilation: as in torch.
        bias: whether to add an invariant bias.
        kernel: name of the kernel that computes the maps, or "auto".
    """

    _torch_class: Callable[..., torch.nn.Module]
    _option_names: tuple[str, ...]

    def __init__(
        self, shape: Shape, *, stride: int, dilation: int | tuple[int], bias: bool, kernel: KernelName
    ) -> None:
        super().__init__(shape, kernel_size=(shape.positions,), bias=bias, kernel=kernel)
        self.in_channels: int = shape.rep_in.size
        self.out_channels: int = shape.rep_out.size
        self.kernel_size: int = shape.positions
        self.stride: int = stride
        self.dilation: int = whole(dilation, least=1, what="dilation")

    def _convolved(self, x: Tensor, convolve: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Tensor:
        """The convolution of signals (B, rep_in.size, T), or without B; ``convolve`` takes a weight and a bias."""
        if self._multiplies_dense:
            return convolve(x, *self.dense())
        signals = x if x.dim() == 3 else x.unsqueeze(0)
        y = self._image(signals, lambda piece, maps: convolve(piece, self._laid_out(maps), None))
        return y if x.dim() == 3 else y.squeeze(0)

    def _check(self, x: Tensor) -> None:
        check_features(x, self.in_channels, dim=-2)
        if x.dim() > 3:
            raise ShapeError(
                f"The input must have shape (B, D, T) or (D, T), got {tuple(x.shape)}. Flatten the leading dimensions."
            )

    def _synthesized(self) -> Tensor:
        return self._laid_out(self.kernel.expand(self.coefficients))

    def _laid_out(self, maps: Tensor) -> Tensor:
        """The weight in torch's order, of maps (kernel_size, n_out, n_in)."""
        raise NotImplementedError

    def export(self) -> Any:
        """Return torch's convolution of the same map, which shares nothing with this one."""
        sizes = self.in_channels, self.out_channels, self.kernel_size
        plain = self._torch_class(*sizes, **self._options(), device="meta", dtype=self.coefficients.dtype)
        return filled(plain, *self.dense()).train(self.training)

    def extra_repr(self) -> str:
        """The representations and the options."""
        options = {"kernel_size": self.kernel_size, **self._options()}
        return ", ".join([f"{self.rep_in.name} -> {self.rep_out.name}", *(f"{k}={v!r}" for k, v in options.items())])

    def _options(self) -> dict[str, Any]:
        """The arguments of torch's class after the sizes."""
        return {name: getattr(self, name) for name in self._option_names} | {"bias": self.bias_coefficients is not None}


class Conv1d(Convolution):
    r"""A convolution over time by an equivariant map for each kernel position, with the arguments of torch.nn.Conv1d.

    .. math:: y_t = b + \sum_k W_k \, x_{\text{stride} \cdot t + \text{dilation} \cdot k},
              \qquad W_k \rho_\text{in}(g) = \rho_\text{out}(g) W_k

    At initialisation it preserves the variance of inputs that are white in channels and time.

    Args:
        rep_in: representation of the channels of x.
        rep_out: representation of those of y.
        kernel_size: number of kernel positions.
        stride: steps of the input for each of the output.
        padding: entries on both sides, "valid" for none, or "same" to keep the length.
        dilation: steps of the input between kernel positions.
        bias: whether to add an invariant bias.
        padding_mode: the values of the padding, as in torch.
        kernel: as for :class:`Linear`.
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

    padding: int | tuple[int] | str
    padding_mode: PaddingMode
    _torch_class = torch.nn.Conv1d
    _option_names = "stride", "padding", "dilation", "padding_mode"

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
        kernel: KernelName = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        positions, step = whole(kernel_size, least=1, what="kernel_size"), whole(stride, least=1, what="stride")
        shape = Shape(rep_in, rep_out, positions, inputs=step)
        super().__init__(shape, stride=step, dilation=dilation, bias=bias, kernel=kernel)
        check_choice(padding_mode, PADDING_MODES, what="padding_mode")
        self.padding, self.padding_mode = padding, padding_mode
        self._sides = padding_sides(padding, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation)
        self._position_gain = self.kernel_size**-0.5
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
        return self._convolved(x, partial(conv1d, stride=self.stride, padding=padding, dilation=self.dilation))

    def _laid_out(self, maps: Tensor) -> Tensor:
        return maps.permute(1, 2, 0).contiguous()


class ConvTranspose1d(Convolution):
    r"""A transposed convolution over time, which upsamples, with the arguments of torch.nn.ConvTranspose1d.

    .. math:: y_{\text{stride} \cdot t + \text{dilation} \cdot k - \text{padding}} \mathrel{+}= W_k x_t,
              \qquad W_k \rho_\text{in}(g) = \rho_\text{out}(g) W_k

    At initialisation it preserves the variance of inputs that are white in channels and time.

    Args:
        rep_in: representation of the channels of x.
        rep_out: representation of those of y.
        kernel_size: number of kernel positions.
        stride: steps of the output for each of the input.
        padding: entries that are cut off on both sides of the output.
        output_padding: entries that are added on its right.
        bias: whether to add an invariant bias.
        dilation: steps of the output between kernel positions.
        padding_mode: "zeros", as in torch.
        kernel: as for :class:`Linear`.
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

    _torch_class = torch.nn.ConvTranspose1d
    _option_names = "stride", "padding", "output_padding", "dilation"

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
        kernel: KernelName = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        positions, step = whole(kernel_size, least=1, what="kernel_size"), whole(stride, least=1, what="stride")
        shape = Shape(rep_in, rep_out, positions, outputs=step)
        super().__init__(shape, stride=step, dilation=dilation, bias=bias, kernel=kernel)
        self.padding: int = whole(padding, least=0, what="padding")
        self.output_padding: int = whole(output_padding, least=0, what="output_padding")
        self.padding_mode: str = check_choice(padding_mode, ("zeros",), what="padding_mode of a transposed convolution")
        self._check_output_padding()
        self._position_gain = max(self.kernel_size / self.stride, 1) ** -0.5
        self._start(device, dtype)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return y (B, rep_out.size, T').

        Args:
            x: (B, rep_in.size, T).
            output_size: its last entry is T', which determines the output padding.

        Raises:
            OptionError: no output padding below the stride gives this size.
        """
        self._check(x)
        extra = self.output_padding if output_size is None else self._padding_for(x.shape[-1], output_size[-1])
        arguments = {"stride": self.stride, "padding": self.padding, "output_padding": extra, "dilation": self.dilation}
        return self._convolved(x, partial(conv_transpose1d, **arguments))

    def _laid_out(self, maps: Tensor) -> Tensor:
        return maps.permute(2, 1, 0).contiguous()

    def _padding_for(self, length: int, target: int) -> int:
        least = (length - 1) * self.stride - 2 * self.padding + self.dilation * (self.kernel_size - 1) + 1
        if not least <= target < least + self.stride:
            raise OptionError(
                f"An input of length {length} gives lengths {least} to {least + self.stride - 1}, got an "
                f"output_size of {target}. Change the stride, or leave output_size out."
            )
        return target - least

    def _check_output_padding(self) -> None:
        if self.output_padding and self.output_padding >= max(self.stride, self.dilation):
            raise OptionError(
                f"output_padding must be less than the stride or the dilation, got {self.output_padding} with stride "
                f"{self.stride} and dilation {self.dilation}. Use a larger stride."
            )
