"""Derivatives on a uniform grid, second-order accurate up to the edges, and wave numbers of odd derivatives."""

import torch
from torch import Tensor

from isospan._core.grids import Spacing, checked_spacing, wave_numbers


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
    h = checked_spacing(field, axis, dx, least=3)
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
    h = checked_spacing(field, axis, dx, least=3 if periodic else 4)
    if periodic:
        return (field.roll(-1, axis) - 2 * field + field.roll(1, axis)) / h**2
    first, last = (_one_sided_second(f, axis) for f in (field, field.flip(axis)))
    return torch.cat([first, field.diff(n=2, dim=axis), last], dim=axis) / h**2


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


def _one_sided_second(field: Tensor, axis: int) -> Tensor:
    f0, f1, f2, f3 = field.narrow(axis, 0, 4).split(1, dim=axis)
    return 2 * f0 - 5 * f1 + 4 * f2 - f3
