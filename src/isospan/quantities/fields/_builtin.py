"""The built-in quantities by name, for ``--quantity NAME``."""

import math
from collections.abc import Callable

from torch import Tensor

from isospan._core.grids import Spacing, spacings
from isospan.quantities.fields._filters import local_mean, local_variance, spectral_band_energy
from isospan.quantities.fields._flows import divergence, kinetic_energy, strain_rate, vorticity
from isospan.quantities.fields._scalars import (
    gradient_magnitude,
    gradient_magnitude_squared,
    gradient_x,
    gradient_y,
    laplacian,
    local_free_energy,
)
from isospan.quantities.fields._vortices import (
    enstrophy,
    kinetic_energy_from_vorticity,
    palinstrophy_density,
    strain_rate_from_vorticity,
    stream_function,
    velocity_from_vorticity,
)


def large_scale_energy(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    """Return the local energy of wavelengths above 8 grid spacings, without the mean.

    Example:
        >>> import torch
        >>> large_scale_energy(torch.ones(1, 1, 16, 16)).abs().max() < 1e-12
        tensor(True)
    """
    return spectral_band_energy(field, _SMALLEST, _split(dx), dx=dx, periodic=periodic)


def small_scale_energy(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    """Return the local energy of wavelengths up to 8 grid spacings.

    Example:
        >>> import torch
        >>> checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)
        >>> torch.allclose(small_scale_energy(checkerboard, periodic=True), torch.ones(16, 16))
        True
    """
    return spectral_band_energy(field, _split(dx), math.inf, dx=dx, periodic=periodic)


_SMALLEST = 1e-300
"""A positive number below every wave number other than 0."""


def _split(dx: Spacing) -> float:
    """Return the wave number of 8 grid spacings of the coarser axis."""
    return 2 * math.pi / (8 * max(spacings(dx)))


BUILTIN_QUANTITIES: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        gradient_magnitude,
        gradient_magnitude_squared,
        gradient_x,
        gradient_y,
        laplacian,
        local_free_energy,
        local_mean,
        local_variance,
        large_scale_energy,
        small_scale_energy,
        divergence,
        vorticity,
        strain_rate,
        kinetic_energy,
        stream_function,
        velocity_from_vorticity,
        kinetic_energy_from_vorticity,
        strain_rate_from_vorticity,
        enstrophy,
        palinstrophy_density,
    )
}
"""Each takes (field, *, dx, periodic) with a field (B, C, H, W) and returns (B, C', H, W)."""
