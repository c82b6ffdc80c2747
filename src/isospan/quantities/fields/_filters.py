"""Quantities of a neighbourhood: the energy in a band of scales, local mean and local variance.

Arguments and errors are those of :mod:`isospan.quantities.fields`.
"""

import torch
from torch import Tensor
from torch.nn import functional

from isospan._core.grids import Spacing, check_field, forward_transform, inverse_transform, wave_numbers
from isospan.errors import OptionError, ShapeError

_EDGE_TOLERANCE = 1e-9
"""A wave number within this relative distance of the edge of a band counts as on the edge, despite rounding."""


def band_filter(field: Tensor, low: float, high: float, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return the part of a field with angular wave numbers in a band, :math:`\text{low} \le |\kappa| < \text{high}`.

    A field that is not periodic is extended by its mirror images (a cosine transform), which adds no jump at the edges.

    Args:
        field: (..., H, W).
        low: least wave number, in radians per unit of dx: :math:`2\pi` over the longest wavelength. 0 keeps the mean.
        high: upper limit, not included; ``math.inf`` keeps all small scales. Adjacent bands add up to the field.
        dx: distance of grid points, or (along H, along W).
        periodic: whether the grid is periodic.

    Returns:
        (..., H, W), in the units of the field.

    Raises:
        OptionError: 0 ≤ low < high does not hold.

    Example:
        >>> import torch
        >>> x = torch.arange(16) * 2 * torch.pi / 16
        >>> field = (1 + torch.sin(x) + torch.sin(4 * x)).expand(16, 16)
        >>> large = band_filter(field, 0.5, 2.0, dx=2 * torch.pi / 16, periodic=True)
        >>> torch.allclose(large[0], torch.sin(x), atol=1e-6)
        True
    """
    if not 0 <= low < high:
        raise OptionError(f"A band needs 0 <= low < high, got low={low}, high={high}.")
    check_field(field)
    if not periodic:
        H, W = field.shape[-2:]
        return band_filter(_mirrored(field), low, high, dx=dx, periodic=True)[..., :H, :W]
    ky, kx = wave_numbers(field, dx)
    k = torch.sqrt(ky**2 + kx**2) * (1 + _EDGE_TOLERANCE)
    return inverse_transform(forward_transform(field) * ((low <= k) & (k < high)), field)


def spectral_band_energy(
    field: Tensor, low: float, high: float, *, dx: Spacing = 1.0, periodic: bool = False
) -> Tensor:
    r"""Return the local energy in a band of scales, the square of :func:`band_filter`.

    Its mean over the box is the sum of the squared Fourier amplitudes in the band (Parseval), so the means over
    adjacent bands add up to that of the squared field.

    Example:
        >>> import torch
        >>> field = torch.randn(2, 1, 16, 16, dtype=torch.float64)
        >>> bands = [spectral_band_energy(field, low, high) for low, high in [(0, 0.5), (0.5, 1.5), (1.5, torch.inf)]]
        >>> torch.allclose(sum(bands).mean((-2, -1)), (field**2).mean((-2, -1)))
        True
    """
    return band_filter(field, low, high, dx=dx, periodic=periodic) ** 2


def local_mean(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False, window: int = 5) -> Tensor:
    """Return the mean over window × window points around each point; at an edge, over those inside the grid.

    Args:
        field: (..., H, W), at least ``window`` points along each axis.
        dx: not used, since the window is in points; every quantity has this argument.
        periodic: whether the grid is periodic.
        window: odd number of points.

    Returns:
        (..., H, W), in the units of the field.

    Raises:
        OptionError: the window is not an odd number of at least 1.
        ShapeError: the field has fewer points than the window.

    Example:
        >>> import torch
        >>> local_mean(torch.arange(4.0).repeat(4, 1), window=3)[0]
        tensor([0.5000, 1.0000, 2.0000, 2.5000])
    """
    _check_window(field, window)
    half = window // 2
    planes = field.reshape(-1, 1, *field.shape[-2:])
    if periodic:
        planes = functional.pad(planes, (half,) * 4, mode="circular")
    padding = 0 if periodic else half
    means = functional.avg_pool2d(planes, window, stride=1, padding=padding, count_include_pad=False)
    return means.reshape(field.shape)


def local_variance(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False, window: int = 5) -> Tensor:
    r"""Return the variance :math:`\overline{f^2} - \bar f^2` over the window of :func:`local_mean`.

    Arguments and errors are those of :func:`local_mean`. The variance is computed in float64 about the mean of each
    field, so an offset costs no digits, and is never negative.

    Example:
        >>> import torch
        >>> local_variance(1e6 + torch.arange(4.0).repeat(4, 1), window=3)[0]
        tensor([0.2500, 0.6667, 0.6667, 0.2500])
    """
    _check_window(field, window)
    f = field.double()
    f = f - f.mean((-2, -1), keepdim=True)
    mean, mean_square = (local_mean(g, periodic=periodic, window=window) for g in (f, f**2))
    return (mean_square - mean**2).clamp(min=0).to(field.dtype)


def _mirrored(field: Tensor) -> Tensor:
    """Return the field and its mirror images as a periodic field (..., 2H, 2W)."""
    wide = torch.cat([field, field.flip(-1)], dim=-1)
    return torch.cat([wide, wide.flip(-2)], dim=-2)


def _check_window(field: Tensor, window: int) -> None:
    check_field(field)
    if not isinstance(window, int) or window < 1 or window % 2 == 0:
        raise OptionError(f"The window must be an odd number of points, at least 1, got {window!r}.")
    if min(field.shape[-2:]) < window:
        raise ShapeError(f"A window of {window} points needs as many along each axis, got shape {tuple(field.shape)}.")
