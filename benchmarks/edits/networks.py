"""The networks of the study: an autoencoder, and U-Nets with and without skip connections."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.guided_recipe.sets import SIZE, Set

WIDTH = 8
NOISE = 0.7
"""Deviation of the noise that U-Nets remove, in deviations of the fields."""


class Autoencoder(nn.Module):
    """The convolutional autoencoder of the guided study; its input is its target."""

    def __init__(self, data: Set) -> None:
        super().__init__()
        self.encoder, self.decoder = data.network()

    def encode(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the latents, and no skip connections."""
        return self.encoder(x), ()

    def decode(self, z: Tensor, skipped: tuple[Tensor, ...]) -> Tensor:
        """Return the fields."""
        return self.decoder(z)


class UNet(nn.Module):
    """A U-Net of three resolutions whose bottleneck is a latent vector. It removes noise from fields."""

    def __init__(self, data: Set, *, skips: bool) -> None:
        super().__init__()
        channels, inner, w = data.x.shape[1], SIZE // 8, WIDTH
        self.skips, self.smallest = skips, (4 * w, inner, inner)
        down = nn.ModuleList([_block(channels, w), _block(w, 2 * w), _block(2 * w, 4 * w)])
        self.encoder = nn.ModuleDict({"down": down, "latent": nn.Linear(4 * w * inner**2, data.latent_dim)})
        joined = 2 if skips else 1
        up = nn.ModuleList(
            [_block(joined * 4 * w, 4 * w), _block((2 + 2 * joined) * w, 2 * w), _block((1 + joined) * w, w)]
        )
        self.decoder = nn.ModuleDict(
            {"latent": nn.Linear(data.latent_dim, 4 * w * inner**2), "up": up, "out": nn.Conv2d(w, channels, 1)}
        )

    def encode(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the latents, and the activations of each resolution."""
        skipped = []
        for block in self.encoder["down"]:
            x = block(x)
            skipped.append(x)
            x = avg_pool2d(x, 2)
        return self.encoder["latent"](x.flatten(1)), tuple(skipped)

    def decode(self, z: Tensor, skipped: tuple[Tensor, ...]) -> Tensor:
        """Return the fields of latents and, in a network with skip connections, of the activations."""
        x = self.decoder["latent"](z).unflatten(1, self.smallest)
        for block, activations in zip(self.decoder["up"], skipped[::-1], strict=True):
            x = interpolate(x, scale_factor=2)
            x = block(torch.cat([x, activations], 1) if self.skips else x)
        return self.decoder["out"](x)


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode="circular"), nn.GELU())


def noisy(x: Tensor) -> Tensor:
    """Fields with the same noise in every run."""
    return x + NOISE * torch.randn(x.shape, generator=torch.Generator().manual_seed(7))


NETWORKS: dict[str, Callable[[Set], nn.Module]] = {
    "autoencoder": Autoencoder,
    "U-Net without skips": lambda data: UNet(data, skips=False),
    "U-Net": lambda data: UNet(data, skips=True),
}
