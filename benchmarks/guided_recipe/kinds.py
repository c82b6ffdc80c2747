"""The kinds of fields of the study, and the quantities that are known of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isospan.datasets import cached, cahn_hilliard, decaying_turbulence
from isospan.experiment.samples import Samples
from isospan.quantities import fields, pool

SIZE = 64
N_BINS = 6
LATENT_DIM = 92
RANKS = (18, 21, 25)
"""Subspace dimension of the first, second and third quantity of a kind."""


@dataclass(frozen=True)
class Kind:
    """Fields (N, 1, 64, 64) and the functions that give their quantities, (B, 1, H, W) each."""

    make: Callable[[int], Tensor]
    quantities: dict[str, Callable[[Tensor], Tensor]]

    @property
    def k(self) -> dict[str, int]:
        """Subspace dimensions by name."""
        return dict(zip(self.quantities, RANKS, strict=True))

    def targets(self, samples: Samples) -> dict[str, Tensor]:
        """Quantities pooled to 6x6, {name: (B, 1, 6, 6)}."""
        x, _ = samples.tensors()
        return {name: pool(quantity(x), N_BINS) for name, quantity in self.quantities.items()}


def random_fields(n: int, *, size: int = SIZE, seed: int = 0, slope: float = 6.0, cutoff: float = 2.5) -> Tensor:
    """Gaussian random fields with the power spectrum (1 + k^2 / cutoff^2)^-slope, unit variance over all."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    k2 = k[:, None] ** 2 + torch.fft.rfftfreq(size, 1 / size, dtype=torch.float64) ** 2
    noise = torch.fft.rfft2(torch.randn(n, 1, size, size, generator=generator, dtype=torch.float64))
    spectrum = noise * (1 + k2 / cutoff**2) ** (-slope / 2)
    spectrum[..., 0, 0] = 0
    u = torch.fft.irfft2(spectrum, s=(size, size))
    return (u / u.std()).float()


def _periodic(quantity: Callable[..., Tensor], dx: float) -> Callable[[Tensor], Tensor]:
    return lambda x: quantity(x, dx=dx, periodic=True)


def _square(x: Tensor) -> Tensor:
    return x.square()


def _excess(x: Tensor) -> Tensor:
    return (x - 0.5).relu()


KINDS = {
    "cahn-hilliard": Kind(
        lambda n: cached(cahn_hilliard, n, gamma=3.0, times=(50.0, 200.0)),
        {
            "gradient": _periodic(fields.gradient_magnitude_squared, 1.0),
            "laplacian": _periodic(fields.laplacian, 1.0),
            "energy": _periodic(fields.local_free_energy, 1.0),
        },
    ),
    "turbulence": Kind(
        lambda n: cached(decaying_turbulence, n),
        {
            "stream": _periodic(fields.stream_function, 2 * math.pi / SIZE),
            "kinetic": _periodic(fields.kinetic_energy_from_vorticity, 2 * math.pi / SIZE),
            "strain": _periodic(fields.strain_rate_from_vorticity, 2 * math.pi / SIZE),
        },
    ),
    "random": Kind(
        lambda n: cached(random_fields, n),
        {"square": _square, "gradient": _periodic(fields.gradient_magnitude_squared, 1.0), "excess": _excess},
    ),
}
