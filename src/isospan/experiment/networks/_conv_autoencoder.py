"""A convolutional autoencoder of periodic or bounded fields of any size."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isospan._core.checks import working_dtype
from isospan.errors import OptionError, ShapeError

MIN_SIDE = 8
HALVINGS = 4


class ConvAutoencoder(nn.Module):
    r"""Four strided convolutions down to a latent vector, and four transposed ones back to the field.

    .. math:: z = E\Big(\frac{x - \mu}{\sigma}\Big), \qquad \hat x = \mu + \sigma D(z)

    μ and σ are the mean and scale of every channel, initially 0 and 1. :meth:`standardise_` sets them, so inputs and
    outputs are fields in their own units. For float64 fields μ and σ are float64, and only E and D are computed in the
    precision of the weights: a deviation of 1 about a mean of 1e8 keeps its digits. Fields are (B, C, H, W), latents
    (B, latent_dim). Group normalisation follows all encoder layers except the first: it would remove the amplitude of
    the field.

    Args:
        channels: C, the number of variables of a field.
        size: (H, W), each at least 8; may be odd.
        latent_dim: D.
        width: channels of the first convolution; the others have 2, 4 and 8 times this number.
        periodic: use periodic padding, in both directions, in encoder and decoder.
        encoder: module that maps (B, C, H, W) to (B, latent_dim), instead of the convolutional encoder.

    Raises:
        OptionError: ``channels``, ``latent_dim`` or ``width`` is below 1, or a side below 8.
        ShapeError: ``encoder`` does not return latents (B, latent_dim).

    Example:
        >>> network = ConvAutoencoder(1, (37, 49), 10, width=4)
        >>> x_hat, z = network(torch.randn(2, 1, 37, 49))
        >>> x_hat.shape, z.shape
        (torch.Size([2, 1, 37, 49]), torch.Size([2, 10]))
    """

    channels: int
    size: tuple[int, int]
    latent_dim: int
    encoder: nn.Module
    decoder: nn.Sequential
    field_mean: Tensor
    field_scale: Tensor

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        latent_dim: int,
        *,
        width: int = 8,
        periodic: bool = False,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        height, breadth = _check_sizes(channels, size, latent_dim, width)
        self.channels, self.size, self.latent_dim = channels, (height, breadth), latent_dim
        widths = (channels, width, 2 * width, 4 * width, 8 * width)
        sizes = _halved_sizes(self.size)
        self.encoder = encoder or _encoder(widths, sizes[-1], latent_dim, periodic)
        self.decoder = _decoder(widths[::-1], sizes[::-1], latent_dim, periodic)
        self.register_buffer("field_mean", torch.zeros(channels, 1, 1))
        self.register_buffer("field_scale", torch.ones(channels, 1, 1))
        if encoder is not None:
            self._check_encoder()

    def standardise_(self, mean: Tensor, scale: Tensor) -> "ConvAutoencoder":
        """Set the mean and scale (C,) of the channels, in the units of the fields. Their dtype is kept."""
        self._set_units_dtype(working_dtype(mean, scale))
        self.field_mean.copy_(mean.reshape(-1, 1, 1))
        self.field_scale.copy_(scale.reshape(-1, 1, 1))
        return self

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents (B, D) of fields (B, C, H, W)."""
        self._check_fields(x)
        return self.encoder(((x - self.field_mean) / self.field_scale).to(self._dtype))

    def decode(self, z: Tensor) -> Tensor:
        """Return the fields (B, C, H, W) of latents (B, D), in the precision of the mean and scale."""
        return self.field_mean + self.field_scale * self.decoder(z.to(self._dtype))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and the latents of fields (B, C, H, W)."""
        z = self.encode(x)
        return self.decode(z), z

    @property
    def _dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.decoder.parameters()).dtype

    def _set_units_dtype(self, dtype: torch.dtype) -> None:
        self.field_mean, self.field_scale = self.field_mean.to(dtype), self.field_scale.to(dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load the mean and scale in the precision that they have in the state."""
        if isinstance(stored := state_dict.get(prefix + "field_mean"), Tensor):
            self._set_units_dtype(stored.dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check_fields(self, x: Tensor) -> None:
        expected = (self.channels, *self.size)
        if x.dim() != 4 or tuple(x.shape[1:]) != expected:
            raise ShapeError(
                f"Fields must have shape (B, C, H, W) = (B, {', '.join(map(str, expected))}), got {tuple(x.shape)}. "
                "Pass fields with the variables and the size that the network was made for."
            )

    @torch.no_grad()
    def _check_encoder(self) -> None:
        """Encode two zero fields with a user's encoder, in evaluation mode so that its statistics do not change."""
        training = self.encoder.training
        z = self.encoder.eval()(torch.zeros(2, self.channels, *self.size))
        self.encoder.train(training)
        if not isinstance(z, Tensor) or tuple(z.shape) != (2, self.latent_dim):
            got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ShapeError(
                f"The encoder must map (2, {self.channels}, {self.size[0]}, {self.size[1]}) to latents "
                f"(2, {self.latent_dim}), got {got} from {type(self.encoder).__name__}. "
                "End it with nn.Flatten() and nn.Linear(..., latent_dim)."
            )


class HalvingConv(nn.Conv2d):
    """Convolution that halves each side, rounded up: 4 × 4, stride 2, padding 1 (2 at the end of an odd side)."""

    def __init__(self, channels_in: int, channels_out: int, *, periodic: bool) -> None:
        super().__init__(channels_in, channels_out, 4, stride=2)
        self.periodic = periodic

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', ceil(H / 2), ceil(W / 2))."""
        height, width = input.shape[-2:]
        return super().forward(pad(input, rows=(1, 1 + height % 2), columns=(1, 1 + width % 2), periodic=self.periodic))


class DoublingConv(nn.ConvTranspose2d):
    """Transposed convolution that doubles each side, cropped to a given size: 4 × 4, stride 2."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int], *, periodic: bool) -> None:
        super().__init__(channels_in, channels_out, 4, stride=2, padding=3 if periodic else 1)
        self.size, self.periodic = size, periodic

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, C, h, w) to (B, C', *size)."""
        if self.periodic:
            input = pad(input, rows=(1, 1), columns=(1, 1), periodic=True)
        height, width = self.size
        return super().forward(input, output_size)[..., :height, :width].contiguous()


def pad(x: Tensor, *, rows: tuple[int, int], columns: tuple[int, int], periodic: bool) -> Tensor:
    """Pad the last two axes, periodically or with zeros.

    Example:
        >>> pad(torch.tensor([[[[1.0, 2.0]]]]), rows=(0, 0), columns=(1, 1), periodic=True)
        tensor([[[[2., 1., 2., 1.]]]])
    """
    if not periodic:
        return F.pad(x, (*columns, *rows))
    return _wrap(_wrap(x, *rows, dim=-2), *columns, dim=-1)


def _wrap(x: Tensor, before: int, after: int, *, dim: int) -> Tensor:
    """Pad one axis periodically. ``F.pad`` is slower, and does not accept an axis shorter than the padding."""
    length = x.shape[dim]
    if max(before, after) > length:
        return x.index_select(dim, torch.arange(-before, length + after, device=x.device) % length)
    return torch.cat([x.narrow(dim, length - before, before), x, x.narrow(dim, 0, after)], dim)


def _encoder(widths: Sequence[int], smallest: tuple[int, int], latent_dim: int, periodic: bool) -> nn.Sequential:
    layers: list[nn.Module] = [HalvingConv(widths[0], widths[1], periodic=periodic), nn.GELU()]
    for before, after in pairwise(widths[1:]):
        layers += [HalvingConv(before, after, periodic=periodic), _norm(after), nn.GELU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * smallest[0] * smallest[1], latent_dim))


def _decoder(widths: Sequence[int], sizes: Sequence[tuple[int, int]], latent_dim: int, periodic: bool) -> nn.Sequential:
    """The layers back to a field. No normalisation, which removes amplitudes, follows the last two convolutions."""
    smallest = (widths[0], *sizes[0])
    layers: list[nn.Module] = [nn.Linear(latent_dim, math.prod(smallest)), nn.Unflatten(1, smallest)]
    for layers_left, (before, after), size in zip(range(HALVINGS)[::-1], pairwise(widths), sizes[1:], strict=True):
        layers += [DoublingConv(before, after, size, periodic=periodic)]
        layers += [_norm(after)] if layers_left > 1 else []
        layers += [nn.GELU()] if layers_left > 0 else []
    return nn.Sequential(*layers)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(4, channels), channels)


def _halved_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sides after 0, 1, ... halvings, each rounded up."""
    height, width = size
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(HALVINGS + 1)]


def _check_sizes(channels: int, size: Sequence[int], latent_dim: int, width: int) -> tuple[int, int]:
    if min(channels, latent_dim, width) < 1:
        raise OptionError(
            f"channels, latent_dim and width must be at least 1, got {channels}, {latent_dim} and {width}."
        )
    if len(size) != 2 or min(size) < MIN_SIDE:
        raise OptionError(
            f"Fields must be two-dimensional with sides of at least {MIN_SIDE}, got size {tuple(size)}. "
            "Interpolate smaller fields, or train your own network in a plain loop."
        )
    return int(size[0]), int(size[1])
