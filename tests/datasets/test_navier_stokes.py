"""Turbulence against the laws of the Navier-Stokes equations."""

from itertools import pairwise
from math import exp, pi

import numpy as np
import pytest
import torch

from isospan.datasets._navier_stokes import decaying_turbulence, evolve
from isospan.datasets._vorticity_equation import DECAY_LIMIT, OSCILLATION_LIMIT, VorticityEquation, retained_modes
from isospan.errors import OptionError


def turbulence(size=32, n=2):
    return decaying_turbulence(n, size=size, viscosity=0.01, snapshots=1, peaks=(3.0, 5.0))[:, 0].double()


def velocity(omega):
    """By the full complex transform, without the library."""
    ky, kx = full_wave_numbers(omega.shape[-1])
    psi_hat = torch.fft.fft2(omega) / (kx**2 + ky**2).clamp(min=1)
    return torch.fft.ifft2(1j * ky * psi_hat).real, torch.fft.ifft2(-1j * kx * psi_hat).real


def energy(omega):
    u, v = velocity(omega)
    return (u**2 + v**2).mean((-2, -1)) / 2


def enstrophy(omega):
    return (omega**2).mean((-2, -1)) / 2


def palinstrophy(omega):
    gy, gx = (torch.fft.ifft2(1j * k * torch.fft.fft2(omega)).real for k in full_wave_numbers(omega.shape[-1]))
    return (gx**2 + gy**2).mean((-2, -1)) / 2


def full_wave_numbers(size):
    k = torch.fft.fftfreq(size, d=1 / size, dtype=torch.float64)
    return k[:, None], k[None, :]


def resample(omega, size):
    """The same trigonometric polynomial on another grid, by an explicit sum over its modes."""
    old = omega.shape[-1]
    k = torch.fft.fftfreq(old, d=1 / old, dtype=torch.float64)
    waves = torch.exp(2j * pi * torch.outer(torch.arange(size, dtype=torch.float64) / size, k))
    return (waves @ (torch.fft.fft2(omega) / old**2) @ waves.T).real


def simpson(values, width):
    return width / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_taylor_green_vortices_decay_exactly(k):
    x = torch.arange(32, dtype=torch.float64) * 2 * pi / 32
    omega = 2 * k * torch.cos(k * x) * torch.cos(k * x)[:, None]
    nu, duration = 0.01, 1.5
    later = evolve(omega, duration, viscosity=nu, max_step=0.05)
    # RK4 errs by (2 nu k^2 step)^5 / 120 a step: over 30 steps 2.5e-9 for the fastest
    assert torch.allclose(later, omega * exp(-2 * nu * k**2 * duration), rtol=0, atol=5e-9 * omega.abs().max())


def test_rate_equals_advection_and_diffusion_on_a_grid_without_aliases():
    size, nu = 16, 0.03
    omega = evolve(turbulence(size, n=1)[0], 0.0, viscosity=0.0)
    fine = resample(omega, 3 * size)
    ky, kx = full_wave_numbers(3 * size)
    ddx, ddy = (lambda f, k=k: torch.fft.ifft2(1j * k * torch.fft.fft2(f)).real for k in (kx, ky))
    k2 = (kx**2 + ky**2).clamp(min=1)
    psi = torch.fft.ifft2(torch.fft.fft2(fine) / k2).real
    advection = ddy(psi) * ddx(fine) - ddx(psi) * ddy(fine)
    expected = -advection + nu * (ddx(ddx(fine)) + ddy(ddy(fine)))
    rate_hat = VorticityEquation(omega, nu).rate(torch.fft.rfft2(omega))
    rate = torch.fft.irfft2(rate_hat, s=(size, size))
    modes = np.ix_(*2 * [np.r_[0:6, -5:0]])  # the retained ones, below 16 / 3
    assert torch.allclose(torch.fft.fft2(rate)[modes], torch.fft.fft2(expected)[modes] / 9, atol=1e-10)


def test_the_velocity_that_carries_the_vorticity_has_no_divergence():
    omega = turbulence()
    equation = VorticityEquation(omega, 0.01)
    u, v = equation.velocity(torch.fft.rfft2(omega)).unbind(-3)
    ky, kx = full_wave_numbers(32)
    divergence = torch.fft.ifft2(1j * kx * torch.fft.fft2(u) + 1j * ky * torch.fft.fft2(v)).real
    curl = torch.fft.ifft2(1j * kx * torch.fft.fft2(v) - 1j * ky * torch.fft.fft2(u)).real
    assert divergence.abs().max() < 1e-12  # rounding of order-one speeds times wave numbers up to 10
    assert torch.allclose(curl, evolve(omega, 0.0, viscosity=0.0), atol=1e-12)


def test_energy_decays_by_twice_viscosity_times_enstrophy():
    nu, width = 0.01, 0.05
    states = [turbulence()]
    for _ in range(20):
        states.append(evolve(states[-1], width, viscosity=nu))
    lost = energy(states[0]) - energy(states[-1])
    expected = 2 * nu * simpson([enstrophy(s) for s in states], width)
    # Simpson's rule and RK4 both err by the fourth power of their steps
    assert torch.allclose(lost, expected, rtol=1e-5)


def test_enstrophy_decays_by_twice_viscosity_times_palinstrophy():
    nu, width = 0.01, 0.05
    states = [turbulence()]
    for _ in range(20):
        states.append(evolve(states[-1], width, viscosity=nu))
    lost = enstrophy(states[0]) - enstrophy(states[-1])
    expected = 2 * nu * simpson([palinstrophy(s) for s in states], width)
    assert torch.allclose(lost, expected, rtol=1e-4)  # as above; the small scales change faster
    assert all((later < now).all() for now, later in pairwise(map(enstrophy, states)))


def test_without_viscosity_energy_and_enstrophy_are_conserved():
    before = evolve(turbulence(), 0.0, viscosity=0.0)
    after = evolve(before, 2.0, viscosity=0.0, courant=0.3)
    assert (after - before).abs().max() > 0.5
    assert torch.allclose(energy(after), energy(before), rtol=1e-5)  # only RK4 dissipates, by its step's fifth power
    assert torch.allclose(enstrophy(after), enstrophy(before), rtol=1e-4)


def test_fourth_order_convergence_in_the_step():
    omega = turbulence()
    coarse, middle, fine = (evolve(omega, 0.4, viscosity=0.01, max_step=h) for h in (0.02, 0.01, 0.005))
    ratio = (coarse - middle).norm() / (middle - fine).norm()
    assert ratio.item() == pytest.approx(16, rel=0.1)  # the next order adds a few per cent


def test_a_finer_grid_gives_the_same_flow():
    omega = evolve(turbulence(), 3.0, viscosity=0.05)
    omega = evolve(omega, 0.0, viscosity=0.0)
    on_fine_grid = evolve(resample(omega[0], 64), 1.0, viscosity=0.05, max_step=0.02)[::2, ::2]
    on_coarse_grid = evolve(omega[0], 1.0, viscosity=0.05, max_step=0.02)
    # the coarse grid leaves out modes above 10, of which little is left at this viscosity
    assert (on_fine_grid - on_coarse_grid).abs().max() < 2e-3 * on_fine_grid.abs().max()


def test_the_largest_step_is_inside_the_stability_region():
    share = torch.linspace(0, 1, 501, dtype=torch.float64)
    z = torch.complex(-DECAY_LIMIT * share, OSCILLATION_LIMIT * (1 - share))
    growth = 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24
    assert (growth.abs() <= 1 + 1e-12).all()


def test_the_largest_step_binds_for_diffusion():
    size, nu = 32, 2.0  # diffusion alone sets the step
    rest = torch.zeros(size, size, dtype=torch.float64)
    rest[0, 0] = 1e-9
    step = VorticityEquation(rest, nu).largest_step(torch.fft.rfft2(rest)).item()
    assert step == pytest.approx(DECAY_LIMIT / (nu * 2 * 10**2), rel=1e-6)  # retained up to 10 along both axes
    once = evolve(rest, 60 * step, viscosity=nu, courant=1.0)
    assert once.abs().max() < 1e-9


def test_modes_that_would_alias_are_left_out():
    omega = torch.randn(24, 24, dtype=torch.float64)
    hat = torch.fft.rfft2(evolve(omega, 0.1, viscosity=0.01))
    assert hat[~retained_modes(omega)].abs().max() < 1e-11
    assert retained_modes(omega).sum() == 15 * 8 - 1  # |ky| <= 7, 0 <= kx <= 7, but the mean


def test_samples_are_ordered_by_flow_and_far_enough_apart():
    omega = decaying_turbulence(12, size=32, viscosity=0.01, snapshots=3, peaks=(3.0, 6.0))
    assert omega.shape == (12, 1, 32, 32)
    assert omega.dtype == torch.float32
    flows = omega.double().reshape(4, 3, -1)
    level = flows.square().mean(-1)
    assert (level.diff(dim=1) < 0).all()  # later in each flow: its enstrophy has fallen
    unit = flows.flatten(0, 1)
    correlation = (unit @ unit.T) / torch.outer(unit.norm(dim=1), unit.norm(dim=1))
    same_flow = torch.block_diag(*4 * [torch.ones(3, 3)]).bool()
    assert correlation[~same_flow].abs().max() < 0.5
    assert correlation[same_flow & ~torch.eye(12).bool()].abs().mean() < 0.6


def test_default_flows_are_resolved():
    omega = decaying_turbulence(4)[:, 0].double()
    spectrum = torch.fft.fft2(omega).abs() ** 2
    ky, kx = full_wave_numbers(64)
    shell = (kx**2 + ky**2).sqrt().round()
    density = [spectrum[:, shell == k].mean(-1) for k in range(1, 22)]
    # the last shell kept holds less than a hundredth of the strongest; energy there is (1 / 21)^2 smaller still
    assert (density[20] < 1e-2 * torch.stack(density).amax(0)).all()


def test_the_first_snapshot_starts_from_unit_speed():
    omega = decaying_turbulence(3, size=32, snapshots=1, first_time=0.0)[:, 0].double()
    assert torch.allclose(energy(omega), torch.full((3,), 0.5, dtype=torch.float64), rtol=1e-6)  # float32 samples


def test_sample_i_depends_on_the_seed_and_i_only():
    def make(n, seed):
        return decaying_turbulence(n, size=16, viscosity=0.05, peaks=(2.0, 4.0), snapshots=2, seed=seed)

    few, many = make(3, seed=5), make(140, seed=5)
    assert torch.allclose(few, many[:3], rtol=0, atol=1e-5)  # rounding, in a flow that is hardly chaotic
    assert torch.equal(few, make(3, seed=5))
    assert not torch.allclose(few, make(3, seed=6), atol=0.1)


def test_progress_reaches_the_end():
    calls = []
    decaying_turbulence(
        300, size=8, viscosity=0.1, snapshots=1, peaks=(1.0, 2.0), progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == (300, 300)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"size": 7}, "size=7"),
        ({"snapshots": 0}, "snapshots=0"),
        ({"first_time": -1.0}, "first_time=-1.0"),
        ({"interval": 0.0}, "interval=0.0"),
        ({"peaks": (4.0, 3.0)}, r"\(4.0, 3.0\)"),
        ({"peaks": (3.0, 6.0)}, "size / 3 = 5.333"),
        ({"viscosity": -1.0}, "viscosity"),
        ({"courant": 1.5}, "courant"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(OptionError, match=message):
        decaying_turbulence(**{"n": 1, "size": 16, "peaks": (2.0, 4.0), **parameters})


def test_the_gradient_of_the_mean_is_zero_for_an_expanded_field():
    omega = turbulence(n=1).expand(2, -1, -1).requires_grad_()
    (gradient,) = torch.autograd.grad(evolve(omega, 0.1, viscosity=0.01).sum(), omega)
    # a sum over 1024 points of order-one values in float64
    assert torch.allclose(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
