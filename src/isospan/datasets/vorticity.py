"""The incompressible flow that belongs to a vorticity: stream function and velocity, by Fourier transform.

In two dimensions the vorticity omega = dv/dx - du/dy determines an incompressible periodic flow of zero mean:

    -lap psi = omega,    u = d psi / dy,    v = -d psi / dx

x runs along the last axis of a field and y along the one before it; the domain is a periodic square.
"""

from math import pi

import torch
from torch import Tensor

from isospan._checks import check_floating
from isospan.datasets._spectral import squared_wave_number, wave_numbers
from isospan.errors import ShapeError


def stream_function(vorticity: Tensor, *, length: float = 2 * pi) -> Tensor:
    r"""Stream function of a vorticity, of zero mean.

    .. math:: \hat\psi(k) = \hat\omega(k) / k^2, \qquad \hat\psi(0) = 0

    Args:
        vorticity: Fields (..., size, size).
        length: Side of the domain.

    Returns:
        Fields of the shape and dtype of the vorticity.

    Raises:
        ShapeError: The fields are not square.

    Example:
        >>> x = torch.arange(8) * 2 * pi / 8
        >>> omega = torch.cos(2 * x).expand(8, 8)
        >>> torch.allclose(stream_function(omega), omega / 4, atol=1e-6)
        True
    """
    size = check_square(vorticity)
    psi_hat = invert_laplacian(size, length) * torch.fft.rfft2(vorticity.double())
    return torch.fft.irfft2(psi_hat, s=(size, size)).to(vorticity.dtype)


def velocity(vorticity: Tensor, *, length: float = 2 * pi) -> tuple[Tensor, Tensor]:
    r"""Velocity (u, v) of a vorticity: incompressible, of zero mean.

    .. math:: \hat u = i k_y \hat\omega / k^2, \qquad \hat v = -i k_x \hat\omega / k^2

    Args:
        vorticity: Fields (..., size, size).
        length: Side of the domain.

    Returns:
        Component u along the last axis and v along the one before it, each of the shape and dtype of the vorticity.

    Raises:
        ShapeError: The fields are not square.

    Example:
        >>> x = torch.arange(8) * 2 * pi / 8
        >>> u, v = velocity(torch.cos(2 * x).expand(8, 8))
        >>> torch.allclose(u, torch.zeros(8, 8)), torch.allclose(v, torch.sin(2 * x) / 2, atol=1e-6)
        (True, True)
    """
    size = check_square(vorticity)
    uv_hat = velocity_symbols(size, length) * torch.fft.rfft2(vorticity.double()).unsqueeze(-3)
    u, v = torch.fft.irfft2(uv_hat, s=(size, size)).to(vorticity.dtype).unbind(-3)
    return u, v


def invert_laplacian(size: int, length: float) -> Tensor:
    """1 / k^2, and 0 for the mean, of shape (size, size // 2 + 1)."""
    k2 = squared_wave_number(size, length / size)
    return torch.where(k2 > 0, 1 / k2, 0.0)


def velocity_symbols(size: int, length: float) -> Tensor:
    """Factors (i ky, -i kx) / k^2 from vorticity to velocity, of shape (2, size, size // 2 + 1).

    The waves of half the sampling rate have no derivative on the grid (they would make the field complex): 0 there.
    """
    kx, ky = (without_nyquist(k, size) for k in wave_numbers(size, length / size))
    kx, ky = torch.broadcast_tensors(kx, ky)
    return torch.stack((1j * ky, -1j * kx)) * invert_laplacian(size, length)


def without_nyquist(k: Tensor, size: int) -> Tensor:
    """Wave numbers for first derivatives, 0 at the Nyquist frequency of an even grid."""
    return torch.where(k.abs() == k.abs().max(), 0.0, k) if size % 2 == 0 else k


def check_square(vorticity: Tensor) -> int:
    """Size of square fields (..., size, size)."""
    check_floating(vorticity, what="Vorticity")
    if vorticity.dim() < 2 or vorticity.shape[-1] != vorticity.shape[-2]:
        raise ShapeError(
            f"Vorticity must be square fields (..., size, size), got shape {tuple(vorticity.shape)}. "
            "Cut or interpolate the fields to a square periodic grid."
        )
    return vorticity.shape[-1]
