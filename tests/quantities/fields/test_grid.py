"""Stencils: exact on the polynomials they claim, of second order elsewhere, on every kind of grid."""

import math

import numpy as np
import pytest
import torch

from isospan._core.grids import forward_transform, inverse_transform, wave_numbers
from isospan.errors import DtypeError, OptionError, ShapeError
from isospan.quantities.fields._grid import derivative, odd_wave_numbers, second_derivative


def sampled(f, points, *, periodic, length=2.0, axis=-1):
    """f on a grid of the length, along an axis of a field that is not square; and the spacing."""
    h = length / points if periodic else length / (points - 1)
    values = f(h * torch.arange(points, dtype=torch.float64))
    return values.repeat(5, 1) if axis == -1 else values[:, None].repeat(1, 5), h


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize(("stencil", "degree"), [(derivative, 2), (second_derivative, 3)])
def test_exact_on_polynomials_up_to_the_edges(stencil, degree, axis):
    f = lambda x: 1 - 2 * x + 3 * x**degree  # noqa: E731
    exact = {
        derivative: lambda x: -2 + 3 * degree * x ** (degree - 1),
        second_derivative: lambda x: 3 * degree * (degree - 1) * x ** (degree - 2),
    }[stencil]
    field, h = sampled(f, 9, periodic=False, axis=axis)
    expected, _ = sampled(exact, 9, periodic=False, axis=axis)
    torch.testing.assert_close(stencil(field, axis, dx=h, periodic=False), expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("stencil", [derivative, second_derivative])
def test_second_order_convergence(stencil, periodic, axis):
    w = 3 * math.pi  # three half waves on the length 2: periodic
    wave = lambda x: torch.sin(w * x + 1)  # noqa: E731
    exact = {derivative: lambda x: w * torch.cos(w * x + 1), second_derivative: lambda x: -(w**2) * wave(x)}
    errors = []
    for points in (200, 400):
        field, h = sampled(wave, points, periodic=periodic, axis=axis)
        expected, _ = sampled(exact[stencil], points, periodic=periodic, axis=axis)
        errors.append((stencil(field, axis, dx=h, periodic=periodic) - expected).abs().max())
    order = math.log2(errors[0] / errors[1])
    assert order == pytest.approx(2, abs=0.1)  # the next term of the error is h/L = 1 % of it


@pytest.mark.parametrize("stencil", [derivative, second_derivative])
def test_leading_axes_and_dtype(stencil):
    field = torch.randn(2, 3, 6, 9, dtype=torch.float32)
    result = stencil(field, -2, dx=0.5, periodic=False)
    assert result.dtype == torch.float32
    one = stencil(field[1, 2].double(), -2, dx=0.5, periodic=False)
    # float32 rounding of values of order 1 over h^2 = 0.25
    torch.testing.assert_close(result[1, 2].double(), one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stencil", [derivative, second_derivative])
@pytest.mark.parametrize("periodic", [True, False])
def test_gradient(stencil, periodic):
    field = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: stencil(f, -1, dx=0.7, periodic=periodic), field)


def test_spacing_by_axis():
    field = torch.arange(4.0).repeat(4, 1)
    assert derivative(field, -1, dx=(1.0, 0.5), periodic=False)[0].tolist() == [2.0] * 4
    assert derivative(field.T, -2, dx=(1.0, 0.5), periodic=False)[0].tolist() == [1.0] * 4


@pytest.mark.parametrize(("H", "W"), [(8, 6), (7, 5), (6, 9)])
def test_wave_numbers_differentiate_waves(H, W):
    y, x = torch.meshgrid(torch.arange(H).double(), torch.arange(W).double(), indexing="ij")
    a, b = 2 * math.pi * 2 / H, 2 * math.pi / W  # two waves along y, one along x, for a spacing of 1
    field = torch.sin(a * y + b * x)
    for ky, kx in (wave_numbers(field, 1.0), odd_wave_numbers(field, (1.0, 1.0))):
        slope = torch.fft.irfft2(1j * (ky + kx) * torch.fft.rfft2(field), s=(H, W))
        torch.testing.assert_close(slope, (a + b) * torch.cos(a * y + b * x), atol=1e-12, rtol=0)


def test_the_highest_mode_of_an_even_axis_has_no_slope():
    field = torch.zeros(6, 4)
    ky, kx = odd_wave_numbers(field, 1.0)
    assert ky[3] == kx[0, -1] == 0
    assert odd_wave_numbers(torch.zeros(5, 5), 1.0)[1][0, -1] > 0


@pytest.mark.parametrize("dx", [0, -1.0, math.nan, math.inf, (1.0,), (1.0, 0.0), (1.0, 2.0, 3.0)])
def test_bad_spacing(dx):
    with pytest.raises(OptionError, match="dx must be a positive number or two"):
        derivative(torch.zeros(5, 5), -1, dx=dx, periodic=True)


@pytest.mark.parametrize(
    ("stencil", "periodic", "least"),
    [(derivative, True, 3), (derivative, False, 3), (second_derivative, True, 3), (second_derivative, False, 4)],
)
def test_too_few_points(stencil, periodic, least):
    assert stencil(torch.zeros(least, 9), -2, dx=1.0, periodic=periodic).shape == (least, 9)
    with pytest.raises(ShapeError, match=f"at least {least} points along axis -2, got {least - 1}"):
        stencil(torch.zeros(least - 1, 9), -2, dx=1.0, periodic=periodic)


def test_bad_fields():
    with pytest.raises(ShapeError, match=r"shape \(..., H, W\), got \(5,\)"):
        derivative(torch.zeros(5), -1, dx=1.0, periodic=True)
    with pytest.raises(DtypeError, match=r"got torch.int64"):
        derivative(torch.zeros(5, 5, dtype=torch.int64), -1, dx=1.0, periodic=True)


@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
def test_transforms_of_expanded_fields_and_their_gradients(shape):
    row = torch.randn(8, dtype=torch.float64, requires_grad=True)
    field = row.expand(shape)
    coefficients = forward_transform(field)
    np.testing.assert_allclose(coefficients.detach().numpy(), np.fft.rfft2(field.detach().numpy()), atol=1e-13)
    back = inverse_transform(coefficients, field)
    torch.testing.assert_close(back, field)
    back.sum().backward()  # whose gradient is one number, expanded
    torch.testing.assert_close(row.grad, torch.full_like(row, math.prod(shape[:-1])))
