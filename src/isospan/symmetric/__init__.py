"""Linear algebra and statistics that respect a symmetry group, equal to those of the group-augmented data."""

from isospan.symmetric.isotypic_data import isotypic_data
from isospan.symmetric.least_squares import lstsq
from isospan.symmetric.orbits import orbit, orbit_mean
from isospan.symmetric.projections import equivariant_projection, invariant_orthogonal_projector
from isospan.symmetric.signals import isotypic_signal2irreducible_subspaces
from isospan.symmetric.statistics import cov, mean, var, var_mean

__all__ = [
    "cov",
    "equivariant_projection",
    "invariant_orthogonal_projector",
    "isotypic_data",
    "isotypic_signal2irreducible_subspaces",
    "lstsq",
    "mean",
    "orbit",
    "orbit_mean",
    "var",
    "var_mean",
]
