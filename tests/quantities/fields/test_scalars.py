"""Quantities of scalar fields against calculus."""

import math

import pytest
import torch

from isospan.quantities.fields import (
    gradient_magnitude,
    gradient_magnitude_squared,
    gradient_x,
    gradient_y,
    laplacian,
    local_free_energy,
)

DX = (0.2, 0.1)


def grid(H=6, W=8, dtype=torch.float64):
    return torch.meshgrid(DX[0] * torch.arange(H, dtype=dtype), DX[1] * torch.arange(W, dtype=dtype), indexing="ij")


# float64: exact but for rounding; float32: rounding 6e-8 of values up to 5, over dx^2 = 0.01
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-11), (torch.float32, 1e-3)])
def test_quadratic_field(dtype, atol):
    y, x = grid(dtype=dtype)
    f = (1 + 2 * x - 3 * y + x**2 - 2 * x * y + 4 * y**2).expand(2, 3, *x.shape)
    f_x, f_y = 2 + 2 * x - 2 * y, -3 - 2 * x + 8 * y
    expected = {
        gradient_x: f_x,
        gradient_y: f_y,
        gradient_magnitude: torch.sqrt(f_x**2 + f_y**2),
        gradient_magnitude_squared: f_x**2 + f_y**2,
        laplacian: torch.full_like(x, 10.0),
    }
    for quantity, value in expected.items():
        result = quantity(f, dx=DX)
        assert result.dtype == dtype
        torch.testing.assert_close(result, value.expand_as(f), atol=atol, rtol=0, msg=quantity.__name__)


@pytest.mark.parametrize("periodic", [True, False])
def test_waves_converge_with_second_order(periodic):
    def errors(n):
        h = 2 * math.pi / n
        y, x = torch.meshgrid(h * torch.arange(n).double(), h * torch.arange(2 * n).double(), indexing="ij")
        f = torch.sin(x) * torch.cos(2 * y)
        expected = {
            gradient_magnitude_squared: (torch.cos(x) * torch.cos(2 * y)) ** 2
            + (2 * torch.sin(x) * torch.sin(2 * y)) ** 2,
            laplacian: -5 * f,
        }
        return [(q(f, dx=h, periodic=periodic) - value).abs().max().item() for q, value in expected.items()]

    for coarse, fine in zip(errors(64), errors(128), strict=True):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.15)


def test_periodic_quantities_move_with_the_field():
    f = torch.randn(1, 6, 9, dtype=torch.float64)
    for quantity in (gradient_x, gradient_y, gradient_magnitude, laplacian, local_free_energy):
        moved = quantity(f.roll((2, -3), (-2, -1)), periodic=True)
        assert torch.equal(moved, quantity(f, periodic=True).roll((2, -3), (-2, -1)))


def test_the_magnitude_of_a_flat_field_has_a_gradient():
    f = torch.ones(5, 5, requires_grad=True)
    gradient_magnitude(f).sum().backward()
    assert torch.equal(f.grad, torch.zeros(5, 5))


def test_free_energy_of_an_interface():
    """u = tanh(x / sqrt(2 gamma)) balances both terms, and its energy is sqrt(8 gamma) / 3."""
    gamma, h = 0.5, 0.01
    x = torch.arange(-8, 8, h, dtype=torch.float64)
    u = torch.tanh(x / math.sqrt(2 * gamma)).repeat(3, 1)
    density = local_free_energy(u, dx=h, gamma=gamma)[1]
    # second order: (h / width)^2 = 1e-4
    torch.testing.assert_close(density, (u[1] ** 2 - 1) ** 2 / 2, atol=1e-4, rtol=0)
    assert density.sum() * h == pytest.approx(math.sqrt(8 * gamma) / 3, rel=1e-4)


def test_free_energy_of_a_smooth_field_is_the_closed_form():
    n, h = 128, 2 * math.pi / 128
    x, y = torch.meshgrid(h * torch.arange(n).double(), h * torch.arange(n).double(), indexing="xy")
    u, slopes = torch.sin(x) * torch.cos(y), (torch.cos(x) * torch.cos(y), torch.sin(x) * torch.sin(y))
    exact = ((u**2 - 1) ** 2 / 4 + slopes[0] ** 2 + slopes[1] ** 2).sum() * h**2  # gamma / 2 is 1
    total = local_free_energy(u, dx=h, periodic=True).sum() * h**2
    assert total == pytest.approx(exact.item(), rel=2e-3)  # second order: (2 h)^2 / 3
