"""Linear algebra and statistics that respect a symmetry group, equal to those of the group-augmented data.

Results have the precision and the device of the data; those of half-precision data are float32 where samples are summed
(``mean``, ``var``, ``cov``, ``lstsq``), and half precision where each vector is only moved (orbits, projections).
"""

from isospan.symmetric._least_squares import lstsq
from isospan.symmetric._orbits import orbit, orbit_mean
from isospan.symmetric._projections import equivariant_projection, invariant_orthogonal_projector
from isospan.symmetric._signals import isotypic_signal2irreducible_subspaces
from isospan.symmetric._statistics import cov, mean, var, var_mean

__all__ = [
    "cov",
    "equivariant_projection",
    "invariant_orthogonal_projector",
    "isotypic_signal2irreducible_subspaces",
    "lstsq",
    "mean",
    "orbit",
    "orbit_mean",
    "var",
    "var_mean",
]
