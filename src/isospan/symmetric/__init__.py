"""Linear algebra and statistics that respect a symmetry group, equal to those of the group-augmented data.

Results have the precision and the device of the data. Of half-precision data, ``mean``, ``var``, ``cov``, ``lstsq`` and
``irrep_coordinates`` are float32, since they sum over samples or change the basis; orbits, group averages and
projections are half precision.
"""

from isospan.symmetric._isotypic_data import irrep_coordinates
from isospan.symmetric._least_squares import lstsq
from isospan.symmetric._orbits import group_average, orbit
from isospan.symmetric._projections import equivariant_projection, invariant_projector
from isospan.symmetric._statistics import cov, mean, var, var_mean

__all__ = [
    "cov",
    "equivariant_projection",
    "group_average",
    "invariant_projector",
    "irrep_coordinates",
    "lstsq",
    "mean",
    "orbit",
    "var",
    "var_mean",
]
