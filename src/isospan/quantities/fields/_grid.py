"""Derivatives on a uniform grid, second-order accurate up to the edges, and its wave numbers."""

import math

import torch
from torch import Tensor

from isospan._core.checks import check_floating, working_dtype
from isospan.errors import OptionError, ShapeError

Spacing = float | tuple[float, float]
"""Distance of grid points: one number, or (along H, along W)."""


def derivative(field: Tensor, axis: int, *, dx: Spacing, periodic: bool) -> Tensor:
    r"""Return the first derivative along axis -2 (y) or -1 (x): :math:`(f_{i+1} - f_{i-1}) / 2h`.

    At an edge that is not periodic, :math:`(-3 f_0 + 4 f_1 - f_2) / 2h`. Both are exact on quadratic polynomials.

    Args:
        field: (..., H, W), at least 3 points along the axis.
        axis: -2 or -1.
        dx: distance h of grid points, or (along H, along W).
        periodic: whether the last point is next to the first.

    Returns:
        (..., H, W), in units of the field over those of dx.

    Example:
        >>> import torch
        >>> x = torch.arange(4.0).repeat(2, 1)
        >>> derivative(x**2, -1, dx=1.0, periodic=False)
        tensor([[0., 2., 4., 6.],
                [0., 2., 4., 6.]])
    """
    h = _checked(field, axis, dx, least=3)
    if periodic:
        return (field.roll(-1, axis) - field.roll(1, axis)) / (2 * h)
    return torch.gradient(field, spacing=h, dim=axis, edge_order=2)[0]


def second_derivative(field: Tensor, axis: int, *, dx: Spacing, periodic: bool) -> Tensor:
    r"""Return the second derivative along axis -2 (y) or -1 (x): :math:`(f_{i+1} - 2 f_i + f_{i-1}) / h^2`.

    At an edge that is not periodic, :math:`(2 f_0 - 5 f_1 + 4 f_2 - f_3) / h^2`, and the field needs 4 points along
    the axis. Arguments and result are those of :func:`derivative`. Both are exact on cubic polynomials.

    Example:
        >>> import torch
        >>> x = torch.arange(4.0).repeat(1, 1)
        >>> second_derivative(x**3, -1, dx=1.0, periodic=False)
        tensor([[ 0.,  6., 12., 18.]])
    """
    h = _checked(field, axis, dx, least=3 if periodic else 4)
    if periodic:
        return (field.roll(-1, axis) - 2 * field + field.roll(1, axis)) / h**2
    first, last = (_one_sided_second(f, axis) for f in (field, field.flip(axis)))
    return torch.cat([first, field.diff(n=2, dim=axis), last], dim=axis) / h**2


def wave_numbers(field: Tensor, dx: Spacing) -> tuple[Tensor, Tensor]:
    r"""Angular wave numbers :math:`(\kappa_y, \kappa_x)` of ``torch.fft.rfft2(field)``, (H, 1) and (1, W // 2 + 1).

    In radians per unit of dx, float64, on the device of the field.

    Example:
        >>> import torch
        >>> ky, kx = wave_numbers(torch.zeros(4, 4), torch.pi / 2)
        >>> ky.flatten().tolist(), kx.flatten().tolist()
        ([0.0, 1.0, -2.0, -1.0], [0.0, 1.0, 2.0])
    """
    h = (_checked(field, -2, dx, least=1), _checked(field, -1, dx, least=1))
    options = {"dtype": torch.float64, "device": field.device}
    ky = 2 * math.pi * torch.fft.fftfreq(field.shape[-2], h[0], **options)
    kx = 2 * math.pi * torch.fft.rfftfreq(field.shape[-1], h[1], **options)
    return ky[:, None], kx[None, :]


def odd_wave_numbers(field: Tensor, dx: Spacing) -> tuple[Tensor, Tensor]:
    """Return the wave numbers for odd derivatives, with 0 for the highest one of an axis of even length.

    This mode alternates in sign from point to point, so the slope of its interpolant is 0 at every point.
    """
    ky, kx = wave_numbers(field, dx)
    if field.shape[-2] % 2 == 0:
        ky[field.shape[-2] // 2] = 0
    if field.shape[-1] % 2 == 0:
        kx[:, -1] = 0
    return ky, kx


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
    pair = tuple(dx) if isinstance(dx, tuple | list) else (dx, dx)
    if len(pair) != 2 or not all(0 < float(h) < math.inf for h in pair):
        raise OptionError(f"dx must be a positive number or two, (along H, along W), got {dx!r}.")
    return float(pair[0]), float(pair[1])


def _checked(field: Tensor, axis: int, dx: Spacing, *, least: int) -> float:
    """Return the spacing along an axis; the field must have enough points for the stencil."""
    check_field(field)
    points = field.shape[axis]
    if points < least:
        raise ShapeError(
            f"The stencil needs at least {least} points along axis {axis}, got {points} (shape {tuple(field.shape)})."
        )
    return spacings(dx)[axis]


def _one_sided_second(field: Tensor, axis: int) -> Tensor:
    f0, f1, f2, f3 = field.narrow(axis, 0, 4).split(1, dim=axis)
    return 2 * f0 - 5 * f1 + 4 * f2 - f3
