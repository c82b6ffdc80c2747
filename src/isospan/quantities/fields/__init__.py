"""Built-in quantities of fields (..., H, W) on a uniform grid."""

from isospan._core.grids import Spacing
from isospan.quantities.fields._builtin import BUILTIN_QUANTITIES, large_scale_energy, small_scale_energy
from isospan.quantities.fields._filters import band_filter, local_mean, local_variance, spectral_band_energy
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

__all__ = [
    "BUILTIN_QUANTITIES",
    "Spacing",
    "band_filter",
    "divergence",
    "enstrophy",
    "gradient_magnitude",
    "gradient_magnitude_squared",
    "gradient_x",
    "gradient_y",
    "kinetic_energy",
    "kinetic_energy_from_vorticity",
    "laplacian",
    "large_scale_energy",
    "local_free_energy",
    "local_mean",
    "local_variance",
    "palinstrophy_density",
    "small_scale_energy",
    "spectral_band_energy",
    "strain_rate",
    "strain_rate_from_vorticity",
    "stream_function",
    "velocity_from_vorticity",
    "vorticity",
]
