"""Cahn-Hilliard fields against the laws of the equation."""

from math import ceil, log, pi, sqrt

import numpy as np
import pytest
import torch

from isospan.datasets import cahn_hilliard
from isospan.datasets._cahn_hilliard import STEP_PER_GAMMA, advance
from isospan.errors import OptionError

GAMMA = 2.0


def mixtures(n=3, size=32, noise=0.2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    means = torch.linspace(-0.3, 0.3, n, dtype=torch.float64)
    return means[:, None, None] + noise * torch.randn(n, size, size, dtype=torch.float64, generator=rng)


def evolve(u, duration, *, spacing=1.0, max_step=STEP_PER_GAMMA * GAMMA):
    """Equal steps, as long as those of the samples unless they shall be shorter."""
    steps = ceil(duration / max_step)
    return advance(u, steps, duration / max(steps, 1), GAMMA, spacing)


def free_energy(u, *, spacing=1.0):
    """The sum of (u^2 - 1)^2 / 4 + gamma |grad u|^2 / 2 over the box, by the full complex transform."""
    ky, kx = (2j * pi * torch.fft.fftfreq(n, spacing, dtype=torch.float64) for n in u.shape[-2:])
    slopes = [torch.fft.ifft2(k * torch.fft.fft2(u)).real for k in (ky[:, None], kx)]
    return ((u**2 - 1) ** 2 / 4 + GAMMA / 2 * sum(s**2 for s in slopes)).sum((-2, -1)) * spacing**2


def growth_rate(k, *, mean=0.0):
    """Rate of a small sinusoid of wave number k on a mixed state, from the linearised equation."""
    return k**2 * (1 - 3 * mean**2 - GAMMA * k**2)


def chemical_potential_gradient(u, spacing):
    """grad(u^3 - u - gamma lap u) along both axes, by numpy's full complex transform."""
    kx, ky = np.meshgrid(*2 * [2j * pi * np.fft.fftfreq(u.shape[-1], spacing)])
    mu_hat = np.fft.fft2(u**3 - u) - GAMMA * (kx**2 + ky**2) * np.fft.fft2(u)
    return np.fft.ifft2(kx * mu_hat).real, np.fft.ifft2(ky * mu_hat).real


def test_mass_is_conserved_to_rounding():
    u = mixtures()
    later = evolve(u, 50.0)
    assert (later - u).abs().max() > 0.1
    # 100 transforms of order-one values: their rounding, averaged over the field
    assert torch.allclose(later.mean((-2, -1)), u.mean((-2, -1)), rtol=0, atol=1e-14)


def test_free_energy_falls_at_every_default_step():
    u = mixtures()
    energies = [free_energy(u)]
    for _ in range(120):
        u = evolve(u, GAMMA / 4)
        energies.append(free_energy(u))
    assert (torch.stack(energies).diff(dim=0) < 0).all()


def test_free_energy_is_dissipated_at_the_exact_rate():
    spacing, h = 0.8, 1e-5
    u = evolve(mixtures(1, noise=0.1), 6.0, spacing=spacing)
    loss_rate = (free_energy(u, spacing=spacing) - free_energy(evolve(u, h, spacing=spacing), spacing=spacing)) / h
    gx, gy = chemical_potential_gradient(u[0].numpy(), spacing)
    exact = (gx**2 + gy**2).sum() * spacing**2
    # a one-sided difference errs by h times the fastest rate present, about 10 after the noise has been smoothed
    assert loss_rate.item() == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("mode", [1, 3, 5, 8])
@pytest.mark.parametrize("mean", [0.0, 0.35])
def test_small_ripple_follows_the_dispersion_relation(mode, mean):
    size, spacing, duration, step = 32, 0.9, 0.5, 1e-3
    k = 2 * pi * mode / (size * spacing)
    x = torch.arange(size, dtype=torch.float64) * spacing
    ripple = torch.cos(k * x).expand(size, size)
    later = evolve(mean + 1e-6 * ripple, duration, spacing=spacing, max_step=step)
    amplitude = 2 * ((later - mean) * ripple).mean()
    sigma = growth_rate(k, mean=mean)
    # first order: the rate errs by step * (stiff rate) * (rate), with gamma k^4 <= 20 here
    assert log(amplitude / 1e-6) / duration == pytest.approx(sigma, rel=2 * step * max(1, GAMMA * k**4), abs=1e-6)


def test_the_fastest_ripple_is_the_one_of_the_theory():
    k = torch.linspace(0.01, 1.0, 2000).tolist()
    fastest = max(k, key=growth_rate)
    assert fastest == pytest.approx(1 / sqrt(2 * GAMMA), abs=1e-3)  # the spacing of the list is 5e-4
    assert growth_rate(fastest) == pytest.approx(1 / (4 * GAMMA), rel=1e-5)


def test_first_order_convergence_in_the_step():
    u = evolve(mixtures(), 5.0)
    coarse, middle, fine = (evolve(u, 4.0, max_step=step) for step in (0.04, 0.02, 0.01))
    ratio = (coarse - middle).norm() / (middle - fine).norm()
    assert ratio.item() == pytest.approx(2.0, rel=0.05)  # the next order adds a few steps' worth of per cent


def test_flat_interface_is_at_rest():
    size = 64
    x = torch.arange(size, dtype=torch.float64)
    width = sqrt(2 * GAMMA)
    u = (torch.tanh((x - 16) / width) * torch.tanh((48 - x) / width)).expand(size, size)
    # two interfaces 32 apart attract like exp(-32 / width), about 1e-7
    assert torch.allclose(evolve(u, 20.0), u, rtol=0, atol=2e-4)


def test_zero_duration_changes_nothing():
    u = mixtures(1)
    assert torch.equal(evolve(u, 0.0), u)


def test_samples_are_diverse_separated_and_in_range():
    u = cahn_hilliard(16, size=32)
    assert u.shape == (16, 1, 32, 32)
    assert u.dtype == torch.float32
    means = u.mean((1, 2, 3))
    assert (means.abs() <= 0.3 + 1e-6).all()
    assert means.std() > 0.1
    assert (u.abs() <= 1.2).all()
    assert u.std((1, 2, 3)).median() > 0.5  # a separated mixture of mean m has sqrt(1 - m^2) less its interfaces
    roughness = [free_energy(field[0].double()).item() for field in u]
    assert max(roughness) > 1.5 * min(roughness)  # domains of different ages


def test_sample_i_depends_on_the_seed_and_i_only():
    few, many = (cahn_hilliard(n, size=16, times=(2.0, 20.0), seed=3) for n in (2, 40))
    # batches of transforms of another length may round differently; float32 results hardly see it
    assert torch.allclose(few, many[:2], rtol=0, atol=1e-6)
    assert torch.equal(few, cahn_hilliard(2, size=16, times=(2.0, 20.0), seed=3))
    assert not torch.allclose(few, cahn_hilliard(2, size=16, times=(2.0, 20.0), seed=4), atol=0.1)


def test_progress_reaches_the_end():
    calls = []
    cahn_hilliard(300, size=8, times=(1.0, 2.0), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (300, 300)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"size": 3}, "size=3"),
        ({"gamma": 0.0}, "gamma=0.0"),
        ({"spacing": -1.0}, "spacing=-1.0"),
        ({"times": (2.0, 1.0)}, r"\(2.0, 1.0\)"),
        ({"times": (0.0, 1.0)}, "earliest"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(OptionError, match=message):
        cahn_hilliard(**{"n": 1, "size": 8, **parameters})


def test_the_gradient_of_the_mass_is_one_for_an_expanded_field():
    u = mixtures(1).expand(2, -1, -1).requires_grad_()
    (gradient,) = torch.autograd.grad(evolve(u, 2.0).sum(), u)
    # four steps of order-one gradients in float64
    assert torch.allclose(gradient, torch.ones_like(u), rtol=0, atol=1e-13)
    assert torch.equal(*free_energy(u))
