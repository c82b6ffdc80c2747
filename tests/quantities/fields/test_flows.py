"""Flows against the textbook cases and calculus."""

import math

import pytest
import torch

from isospan.errors import OptionError, ShapeError
from isospan.quantities.fields import (
    divergence,
    enstrophy,
    kinetic_energy,
    kinetic_energy_from_vorticity,
    palinstrophy_density,
    strain_rate,
    strain_rate_from_vorticity,
    stream_function,
    velocity_from_vorticity,
    vorticity,
)

OF_VELOCITY = [divergence, vorticity, strain_rate, kinetic_energy]


def plane(H=5, W=7):
    return torch.meshgrid(0.5 * torch.arange(H).double(), 0.25 * torch.arange(W).double(), indexing="ij")


def values(velocity):
    """Divergence, vorticity and strain rate of a flow with constant gradients."""
    fields = [q(velocity, dx=(0.5, 0.25)) for q in (divergence, vorticity, strain_rate)]
    assert all(f.shape == (1, 5, 7) for f in fields)
    for f in fields:
        # linear flows are differentiated exactly, but for rounding
        torch.testing.assert_close(f, f[:, :1, :1].expand_as(f), atol=1e-13, rtol=0)
    return [round(f[0, 0, 0].item(), 12) for f in fields]


def test_textbook_flows():
    y, x = plane()
    zero = torch.zeros_like(x)
    assert values(torch.stack([-3 * y, 3 * x])) == [0, 6, 0]  # rigid rotation
    assert values(torch.stack([4 * y, zero])) == [0, -4, 4]  # shear
    assert values(torch.stack([x, -y])) == [0, 0, 2]  # stagnation point
    assert values(torch.stack([x, y])) == [2, 0, 2]  # expansion


def test_strain_rate_equals_the_tensor_norm():
    velocity = torch.randn(3, 2, 6, 8, dtype=torch.float64)
    gradient = torch.stack(torch.gradient(velocity, spacing=0.5, dim=(-1, -2), edge_order=2), dim=1)  # (B, j, i, H, W)
    S = (gradient + gradient.transpose(1, 2)) / 2
    expected = torch.sqrt(2 * (S**2).sum((1, 2)))[:, None]
    torch.testing.assert_close(strain_rate(velocity, dx=0.5), expected)


def test_kinetic_energy():
    velocity = torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(kinetic_energy(velocity)[:, 0], (velocity**2).sum(1) / 2)


@pytest.mark.parametrize("quantity", OF_VELOCITY)
@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (2, 3, 4, 4)])
def test_two_components(quantity, shape):
    with pytest.raises(ShapeError, match=r"shape \(..., 2, H, W\) with components \(u, v\), got"):
        quantity(torch.zeros(shape))


def waves(n, m, dtype=torch.float64):
    """A vorticity of two modes on a box 2 pi x 2 pi, with its stream function and velocity."""
    y, x = torch.meshgrid(
        2 * math.pi / n * torch.arange(n, dtype=torch.float64),
        2 * math.pi / m * torch.arange(m, dtype=torch.float64),
        indexing="ij",
    )
    psi = torch.sin(3 * x) * torch.cos(y) / 10 + torch.cos(2 * y) / 4
    omega = torch.sin(3 * x) * torch.cos(y) + torch.cos(2 * y)
    u = -torch.sin(3 * x) * torch.sin(y) / 10 - torch.sin(2 * y) / 2
    v = -3 * torch.cos(3 * x) * torch.cos(y) / 10
    fields = (f.to(dtype)[None] for f in (omega, psi, u, v))
    return (2 * math.pi / n, 2 * math.pi / m), *fields


# the inversion is spectral: exact but for rounding
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("n", "m"), [(16, 16), (12, 17), (9, 10)])
def test_inversion_of_waves(n, m, dtype, atol):
    dx, omega, psi, u, v = waves(n, m, dtype)
    batch = torch.stack([omega, 2 * omega + 5])  # a mean vorticity is dropped
    torch.testing.assert_close(stream_function(batch, dx=dx), torch.stack([psi, 2 * psi]), atol=10 * atol, rtol=0)
    velocity = velocity_from_vorticity(batch, dx=dx)
    assert velocity.shape == (2, 2, n, m)
    torch.testing.assert_close(velocity[0], torch.cat([u, v]), atol=atol, rtol=0)
    torch.testing.assert_close(velocity_from_vorticity(omega[0], dx=dx), velocity[0])
    torch.testing.assert_close(kinetic_energy_from_vorticity(batch, dx=dx)[0], (u**2 + v**2) / 2, atol=atol, rtol=0)


def test_inversion_then_derivatives_recovers_the_vorticity():
    def error(n):
        dx, omega, *_ = waves(n, n)
        return (vorticity(velocity_from_vorticity(omega, dx=dx), dx=dx, periodic=True) - omega).abs().max()

    assert math.log2(error(64) / error(128)) == pytest.approx(2, abs=0.1)


def test_noise_gives_a_real_flow_without_divergence():
    omega = torch.randn(1, 8, 10, dtype=torch.float64)
    velocity = velocity_from_vorticity(omega)
    u, v = torch.fft.rfft2(velocity)
    ky, kx = 2 * math.pi * torch.fft.fftfreq(8)[:, None].double(), 2 * math.pi * torch.fft.rfftfreq(10)[None].double()
    below = (ky.abs() < 3.1) & (kx < 3.1)  # the highest mode has no slope
    assert ((kx * u + ky * v) * below).abs().max() < 1e-6
    assert velocity.mean((-2, -1)).abs().max() < 1e-15


def test_strain_rate_from_vorticity():
    dx, omega, _, u, v = waves(32, 48)
    result = strain_rate_from_vorticity(omega[None], dx=dx)
    torch.testing.assert_close(result[0], strain_rate(torch.cat([u, v]), dx=dx, periodic=True), atol=1e-12, rtol=0)


def test_enstrophy_and_palinstrophy():
    n = 256
    h = 2 * math.pi / n
    omega = torch.sin(3 * h * torch.arange(n).double()).repeat(4, 1)[None]
    torch.testing.assert_close(enstrophy(omega), omega**2 / 2)
    # the box mean of |grad sin 3x|^2 / 2 is 9/4; second order: (3 h)^2 / 3 = 2e-3
    assert palinstrophy_density(omega, dx=h).mean().item() == pytest.approx(9 / 4, rel=3e-3)


@pytest.mark.parametrize(
    "quantity", [stream_function, velocity_from_vorticity, kinetic_energy_from_vorticity, strain_rate_from_vorticity]
)
def test_the_flow_needs_a_periodic_box(quantity):
    with pytest.raises(OptionError, match="periodic box only, got periodic=False"):
        quantity(torch.zeros(1, 8, 8), periodic=False)


def test_one_vorticity_a_flow():
    with pytest.raises(ShapeError, match=r"shape \(..., 1, H, W\) or \(H, W\), got \(2, 8, 8\)"):
        velocity_from_vorticity(torch.zeros(2, 8, 8))
    with pytest.raises(OptionError, match="dx must be a positive number"):
        velocity_from_vorticity(torch.zeros(1, 8, 8), dx=0)
