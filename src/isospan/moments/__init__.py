"""Second moments of latents and targets, from batches that need not fit in memory together; the input of solvers."""

from isospan.moments._chunks import merged
from isospan.moments._moments import Moments, check_moments
from isospan.moments._ranks import sum_over_ranks_
from isospan.moments._variation import varies, varying

__all__ = ["Moments", "check_moments", "merged", "sum_over_ranks_", "varies", "varying"]
