"""Second moments of latents and targets: streaming, mergeable, and all that the solvers need."""

from isospan.moments.moments import Moments
from isospan.moments.precision import KeepsPrecision
from isospan.moments.ranks import sum_over_ranks_
from isospan.moments.variation import varies

__all__ = ["KeepsPrecision", "Moments", "sum_over_ranks_", "varies"]
