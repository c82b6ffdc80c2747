"""The sets of the study: samples, the quantities that are known of each, and the network that they train."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from isospan.datasets import cached, cahn_hilliard, decaying_turbulence
from isospan.experiment.networks import ConvAutoencoder
from isospan.quantities import fields, pool

N_TRAIN = 1024
SIZE = 32
N_POOLED = 5
Quantities = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Set:
    """Samples with a mean square of 1, and what is known of them.

    Attributes:
        x: samples (N, ...), the first 1,024 for training.
        y: quantities {name: (N, P)}.
        quantities: the quantities that are functions of a sample, to score edits.
        k: subspace dimension of each quantity.
        latent_dim: D.
    """

    x: Tensor
    y: dict[str, Tensor]
    quantities: Quantities
    k: dict[str, int]
    latent_dim: int

    def network(self) -> tuple[nn.Module, nn.Module]:
        """Return an encoder and a decoder: a perceptron for vectors, convolutions for fields."""
        if self.x.dim() == 2:
            n, D, width = self.x.shape[1], self.latent_dim, 96
            return _perceptron(n, width, width, D), _perceptron(D, width, width, n)
        network = ConvAutoencoder(self.x.shape[1], (SIZE, SIZE), self.latent_dim, width=8, periodic=True)
        return network.encoder, network.decoder


def _perceptron(*sizes: int) -> nn.Sequential:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.GELU())]
    return nn.Sequential(*layers[:-1])


def digits() -> Set:
    """Handwritten digits of 8x8 pixels: label, mean intensity, slant."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
    label = one_hot(torch.tensor(data.target)[order], 10).float()
    return Set(x, {"label": label} | _ink_and_slant(x), _ink_and_slant, {"label": 9, "ink": 1, "slant": 1}, 16)


def _ink_and_slant(x: Tensor) -> dict[str, Tensor]:
    """Mean intensity, and covariance of the two coordinates of ink over the variance of the vertical one."""
    image = x.reshape(-1, 8, 8)
    at = torch.arange(8.0) - 3.5
    mass = image.sum((1, 2)).clamp(min=1e-3)
    mean_y, mean_x = (image * at[:, None]).sum((1, 2)) / mass, (image * at).sum((1, 2)) / mass
    dy, dx = at[:, None] - mean_y[:, None, None], at - mean_x[:, None, None]
    covariance, variance = (image * dy * dx).sum((1, 2)) / mass, (image * dy * dy).sum((1, 2)) / mass
    return {"ink": image.mean((1, 2))[:, None], "slant": (covariance / variance.clamp(min=0.1))[:, None]}


def three_bodies() -> Set:
    """Positions of three equal masses at eight times: kinetic and potential energy, angular momentum."""
    r, v = cached(_three_bodies, 1600).unbind(1)
    scale = r.std().float()
    x = r.flatten(1).float() / scale
    kinetic = v.square().sum((2, 3)).mean(1, keepdim=True) / 2
    exact = {"kinetic": kinetic, "potential": _potential(r), "angular": _angular(r, v)[:, :1]}

    def quantities(x: Tensor) -> dict[str, Tensor]:
        r = (x * scale).reshape(-1, 8, 3, 2)
        v = torch.gradient(r, spacing=0.2, dim=1)[0]
        kinetic = v.square().sum((2, 3)).mean(1, keepdim=True) / 2
        return {
            "kinetic": kinetic,
            "potential": _potential(r),
            "angular": _angular(r, v)[:, 1:-1].mean(1, keepdim=True),
        }

    return Set(x, {name: y.float() for name, y in exact.items()}, quantities, dict.fromkeys(exact, 1), 16)


def _potential(r: Tensor) -> Tensor:
    i, j = torch.triu_indices(3, 3, 1)
    distance = ((r[:, :, i] - r[:, :, j]).square().sum(-1) + 0.3**2).sqrt()
    return -(1 / distance).sum(-1).mean(1, keepdim=True)


def _angular(r: Tensor, v: Tensor) -> Tensor:
    return (r[..., 0] * v[..., 1] - r[..., 1] * v[..., 0]).sum(2)


def _three_bodies(n: int) -> Tensor:
    """Positions and velocities (N, 2, 8, 3, 2) at intervals of 0.2, by leapfrog steps of 0.01."""
    generator = torch.Generator().manual_seed(1)
    r, v = (torch.randn(n, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    r, v = r - r.mean(1, keepdim=True), 0.7 * (v - v.mean(1, keepdim=True))

    def acceleration(r: Tensor) -> Tensor:
        d = r[:, None] - r[:, :, None]
        return (d / (d.square().sum(-1, keepdim=True) + 0.3**2) ** 1.5).sum(2)

    kept, a, dt = [], acceleration(r), 0.01
    for step in range(160):
        if step % 20 == 0:
            kept.append(torch.stack([r, v], 1))
        v = v + dt / 2 * a
        r = r + dt * v
        a = acceleration(r)
        v = v + dt / 2 * a
    return torch.stack(kept, 2)


def double_pendulum() -> Set:
    """Sines, cosines and rates of two angles at eight times: both energies and the angular momentum."""
    a, b, p, q = cached(_double_pendulum, 1600).unbind(-1)
    x = torch.stack([a.sin(), a.cos(), b.sin(), b.cos(), p / 5, q / 5], -1).flatten(1).float()

    def quantities(x: Tensor) -> dict[str, Tensor]:
        sin_a, cos_a, sin_b, cos_b, p, q = x.reshape(-1, 8, 6).unbind(-1)
        p, q, between = 5 * p, 5 * q, cos_a * cos_b + sin_a * sin_b
        values = {
            "kinetic": p**2 + q**2 / 2 + p * q * between,
            "potential": -9.8 * (2 * cos_a + cos_b),
            "momentum": 2 * p + q * between,
        }
        return {name: value.mean(1, keepdim=True) for name, value in values.items()}

    y = quantities(x)
    return Set(x, y, quantities, dict.fromkeys(y, 1), 16)


def _double_pendulum(n: int) -> Tensor:
    """Angles and rates (N, 8, 4) at intervals of 0.1, unit masses and rods, by Runge-Kutta steps of 0.01."""
    generator = torch.Generator().manual_seed(2)
    angles = math.pi * (2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1)
    state = torch.cat([angles, 1.5 * torch.randn(n, 2, generator=generator, dtype=torch.float64)], 1)

    def rate(state: Tensor) -> Tensor:
        a, b, p, q = state.unbind(1)
        d, g = a - b, 9.8
        below = 3 - torch.cos(2 * d)
        up = -3 * g * a.sin() - g * torch.sin(a - 2 * b) - 2 * d.sin() * (q**2 + p**2 * d.cos())
        low = 2 * d.sin() * (2 * p**2 + 2 * g * a.cos() + q**2 * d.cos())
        return torch.stack([p, q, up / below, low / below], 1)

    kept, dt = [], 0.01
    for step in range(80):
        if step % 10 == 0:
            kept.append(state)
        k1 = rate(state)
        k2 = rate(state + dt / 2 * k1)
        k3 = rate(state + dt / 2 * k2)
        k4 = rate(state + dt * k3)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return torch.stack(kept, 1)


def _of_fields(x: Tensor, functions: dict[str, Callable[[Tensor], Tensor]]) -> Set:
    """Fields in units of each channel's deviation, with quantities of the fields as they were, pooled to 5x5."""
    x = x - x.mean((0, 2, 3), keepdim=True)
    scale = x.std((0, 2, 3), keepdim=True)

    def quantities(x: Tensor) -> dict[str, Tensor]:
        return {name: pool(function(x * scale), N_POOLED).flatten(1) for name, function in functions.items()}

    return Set(x / scale, quantities(x / scale), quantities, dict.fromkeys(functions, 12), 48)


def _periodic(quantity: Callable[..., Tensor], dx: float) -> Callable[[Tensor], Tensor]:
    return lambda x: quantity(x, dx=dx, periodic=True)


def cahn_hilliard_fields() -> Set:
    """Spinodal decomposition: squared gradient, Laplacian, free energy."""
    return _of_fields(
        cached(cahn_hilliard, N_TRAIN + 512, size=SIZE, gamma=3.0, times=(50.0, 200.0)),
        {
            "gradient": _periodic(fields.gradient_magnitude_squared, 1.0),
            "laplacian": _periodic(fields.laplacian, 1.0),
            "energy": _periodic(fields.local_free_energy, 1.0),
        },
    )


def turbulence() -> Set:
    """Decaying turbulence, vorticity: stream function, kinetic energy, rate of strain."""
    dx = 2 * math.pi / SIZE
    return _of_fields(
        cached(decaying_turbulence, N_TRAIN + 512, size=SIZE),
        {
            "stream": _periodic(fields.stream_function, dx),
            "kinetic": _periodic(fields.kinetic_energy_from_vorticity, dx),
            "strain": _periodic(fields.strain_rate_from_vorticity, dx),
        },
    )


def random_fields() -> Set:
    """Smooth Gaussian fields: square, squared gradient, excess over 0.5."""
    return _of_fields(
        _gaussian(N_TRAIN + 512, slope=6.0, cutoff=2.5, seed=0)[:, None],
        {
            "square": torch.square,
            "gradient": _periodic(fields.gradient_magnitude_squared, 1.0),
            "excess": lambda x: (x - 0.5).relu(),
        },
    )


def waves() -> Set:
    """Linear waves, height and its rate: the square of each, and the flux of energy."""
    n, t = N_TRAIN + 512, 0.15
    height, rate = _gaussian(n, slope=4.0, cutoff=3.0, seed=5), 3 * _gaussian(n, slope=4.0, cutoff=3.0, seed=6)
    k = torch.fft.fftfreq(SIZE, 1 / SIZE)
    k = (k[:, None].square() + k.square()).sqrt()
    moved = torch.fft.fft2(height) * torch.cos(k * t) + torch.fft.fft2(rate) * t * torch.sinc(k * t / math.pi)
    change = (torch.fft.ifft2(moved).real - height) / t

    def flux(x: Tensor) -> Tensor:
        u, v = x[:, :1], x[:, 1:]
        return torch.cat([v * (u.roll(-1, axis) - u.roll(1, axis)) / 2 for axis in (-1, -2)], 1)

    functions = {"height": lambda x: x[:, :1].square(), "rate": lambda x: x[:, 1:].square(), "flux": flux}
    return _of_fields(torch.stack([height, change], 1), functions)


def _gaussian(n: int, *, slope: float, cutoff: float, seed: int) -> Tensor:
    """Gaussian random fields (N, 32, 32), spectrum (1 + k² / cutoff²)^(-slope), unit variance over all."""
    k = torch.fft.fftfreq(SIZE, 1 / SIZE, dtype=torch.float64)
    k2 = k[:, None] ** 2 + torch.fft.rfftfreq(SIZE, 1 / SIZE, dtype=torch.float64) ** 2
    noise = torch.randn(n, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    spectrum = torch.fft.rfft2(noise) * (1 + k2 / cutoff**2) ** (-slope / 2)
    spectrum[:, 0, 0] = 0
    u = torch.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return (u / u.std()).float()


SETS: dict[str, Callable[[], Set]] = {
    "digits": digits,
    "three bodies": three_bodies,
    "double pendulum": double_pendulum,
    "cahn-hilliard": cahn_hilliard_fields,
    "turbulence": turbulence,
    "random": random_fields,
    "waves": waves,
}
