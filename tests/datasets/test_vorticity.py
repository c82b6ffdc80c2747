"""Stream function and velocity against derivatives that are exact for polynomials of sines."""

from math import pi

import pytest
import torch

from isospan.datasets.vorticity import stream_function, velocity
from isospan.errors import DtypeError, ShapeError

SIZE = 24


def grid(length=2 * pi):
    x = torch.arange(SIZE, dtype=torch.float64) * length / SIZE
    return x[None, :].expand(SIZE, SIZE), x[:, None].expand(SIZE, SIZE)


def divergence_and_curl(u, v, length):
    """By a full complex transform, unlike the code under test."""
    k = 2j * pi * torch.fft.fftfreq(SIZE, d=length / SIZE, dtype=torch.float64)
    ddx, ddy = (lambda f, k=k: torch.fft.ifft2(k * torch.fft.fft2(f)).real for k in (k[None, :], k[:, None]))
    return ddx(u) + ddy(v), ddx(v) - ddy(u)


@pytest.mark.parametrize("length", [2 * pi, 5.0])
def test_known_stream_function(length):
    x, y = grid(length)
    q = 2 * pi / length
    psi = torch.sin(3 * q * x + 0.3) * torch.cos(2 * q * y)
    omega = 13 * q**2 * psi
    u, v = velocity(omega, length=length)
    assert torch.allclose(stream_function(omega, length=length), psi, atol=1e-13)
    assert torch.allclose(u, -2 * q * torch.sin(3 * q * x + 0.3) * torch.sin(2 * q * y), atol=1e-13)
    assert torch.allclose(v, -3 * q * torch.cos(3 * q * x + 0.3) * torch.cos(2 * q * y), atol=1e-13)


@pytest.mark.parametrize("length", [2 * pi, 5.0])
def test_velocity_has_no_divergence_and_gives_the_vorticity_back(length):
    omega = torch.randn(4, SIZE, SIZE, dtype=torch.float64)
    omega_hat = torch.fft.rfft2(omega - omega.mean((-2, -1), keepdim=True))
    omega_hat[:, SIZE // 2] = 0  # waves at half the sampling rate have no derivative on the grid
    omega_hat[:, :, SIZE // 2] = 0
    omega = torch.fft.irfft2(omega_hat, s=(SIZE, SIZE))
    divergence, curl = divergence_and_curl(*velocity(omega, length=length), length)
    assert divergence.abs().max() < 1e-12  # rounding of order-one fields times wave numbers up to 12
    assert torch.allclose(curl, omega, atol=1e-12)


def test_nyquist_waves_keep_the_velocity_free_of_divergence():
    u, v = velocity(torch.randn(SIZE, SIZE, dtype=torch.float64))
    divergence, _ = divergence_and_curl(u, v, 2 * pi)
    assert divergence.abs().max() < 1e-12


def test_mean_vorticity_moves_nothing():
    omega = torch.full((8, 8), 3.0)
    u, v = velocity(omega)
    assert not stream_function(omega).any()
    assert not u.any()
    assert not v.any()


@pytest.mark.parametrize("size", [7, 8])
def test_shape_and_dtype_are_kept(size):
    omega = torch.randn(2, 1, size, size)
    assert stream_function(omega).shape == omega.shape
    assert [(f.shape, f.dtype) for f in velocity(omega)] == 2 * [(omega.shape, omega.dtype)]


@pytest.mark.parametrize("function", [stream_function, velocity])
def test_bad_fields(function):
    with pytest.raises(ShapeError, match=r"\(2, 8, 6\)"):
        function(torch.zeros(2, 8, 6))
    with pytest.raises(DtypeError, match="int64"):
        function(torch.zeros(8, 8, dtype=torch.long))
