"""Fields on a uniform grid: checks, and their Fourier transform."""

import math

import torch
from torch import Tensor

from isospan._core.checks import check_floating, working_dtype
from isospan.errors import OptionError, ShapeError

Spacing = float | tuple[float, float]
"""Distance of grid points: one number, or (along H, along W)."""


def wave_numbers(field: Tensor, dx: Spacing) -> tuple[Tensor, Tensor]:
    r"""Angular wave numbers :math:`(\kappa_y, \kappa_x)` of ``torch.fft.rfft2(field)``, (H, 1) and (1, W // 2 + 1).

    In radians per unit of dx, float64, on the device of the field.

    Example:
        >>> import torch
        >>> ky, kx = wave_numbers(torch.zeros(4, 4), torch.pi / 2)
        >>> ky.flatten().tolist(), kx.flatten().tolist()
        ([0.0, 1.0, -2.0, -1.0], [0.0, 1.0, 2.0])
    """
    h = (checked_spacing(field, -2, dx, least=1), checked_spacing(field, -1, dx, least=1))
    options = {"dtype": torch.float64, "device": field.device}
    ky = 2 * math.pi * torch.fft.fftfreq(field.shape[-2], h[0], **options)
    kx = 2 * math.pi * torch.fft.rfftfreq(field.shape[-1], h[1], **options)
    return ky[:, None], kx[None, :]


def forward_transform(field: Tensor) -> Tensor:
    """Return the Fourier coefficients of a field (..., H, W), for half precision in float32."""
    return torch.fft.rfft2(field.to(working_dtype(field)).contiguous())  # MKL of torch 2.8 refuses expanded fields


def inverse_transform(coefficients: Tensor, like: Tensor) -> Tensor:
    """Return the field of these Fourier coefficients, with the grid and dtype of ``like``."""
    H, W = like.shape[-2:]
    unscaled = torch.fft.irfft2(coefficients, s=(H, W), norm="forward")
    return (unscaled / (H * W)).to(like.dtype)  # the division makes expanded gradients dense, which MKL needs


def check_field(field: Tensor) -> None:
    """Require a floating-point field (..., H, W)."""
    check_floating(field, what="A field")
    if field.dim() < 2:
        raise ShapeError(f"A field must have shape (..., H, W), got {tuple(field.shape)}. Add the missing axis.")


def spacings(dx: Spacing) -> tuple[float, float]:
    """Return the distances of grid points (along H, along W), which must be positive."""
    pair = tuple(dx) if isinstance(dx, (tuple, list)) else (dx, dx)
    if len(pair) != 2 or not all(0 < float(h) < math.inf for h in pair):
        raise OptionError(f"dx must be a positive number or two, (along H, along W), got {dx!r}.")
    return float(pair[0]), float(pair[1])


def checked_spacing(field: Tensor, axis: int, dx: Spacing, *, least: int) -> float:
    """Return the spacing along an axis; the field must have enough points for the stencil."""
    check_field(field)
    points = field.shape[axis]
    if points < least:
        raise ShapeError(
            f"The stencil needs at least {least} points along axis {axis}, got {points} (shape {tuple(field.shape)})."
        )
    return spacings(dx)[axis]
