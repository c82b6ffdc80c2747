"""Second moments of latents and targets, from batches that need not fit in memory together; the input of solvers."""

from isospan.moments._batch import sum_over_ranks_
from isospan.moments._chunks import merged
from isospan.moments._moments import Moments, check_moments, varies

__all__ = ["Moments", "check_moments", "merged", "sum_over_ranks_", "varies"]
