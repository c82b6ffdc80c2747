"""Second moments of latents and targets: streaming, mergeable, and all that the solvers need."""

from isospan.moments.chunks import merged
from isospan.moments.moments import Moments, check_moments
from isospan.moments.ranks import sum_over_ranks_
from isospan.moments.variation import varies, varying

__all__ = ["Moments", "check_moments", "merged", "sum_over_ranks_", "varies", "varying"]
