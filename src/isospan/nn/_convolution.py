"""What convolutions over time share."""

from collections.abc import Callable

from torch import Tensor

from isospan.errors import ShapeError
from isospan.nn._conv_arguments import whole
from isospan.nn._inputs import check_features
from isospan.nn.dense_map import DenseMap
from isospan.representations import Representation


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
