"""Equivariant convolutions over time."""

from __future__ import annotations  # a tracer of torch 2.4 does not take those of functions in functions

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from isospan._core.checks import check_choice
from isospan.nn import grouped_maps
from isospan.nn._conv_arguments import PADDING_MODES, PaddingMode, padding_sides
from isospan.nn._convolution import Convolution
from isospan.nn.dense_map import Kind
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.nn.grouped_maps import GroupedMaps
from isospan.representations import Representation

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
