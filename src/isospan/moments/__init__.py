"""Second moments of latents and targets, from batches that need not fit in memory together; the input of solvers."""

from isospan.moments._batch import sum_over_ranks_
from isospan.moments._chunks import merged
from isospan.moments._moments import Moments, check_moments, varies
from isospan.moments._partial import Rows, add_weighted_, decay_, filled, merge_, present, sum_states_

__all__ = [
    "Moments",
    "Rows",
    "add_weighted_",
    "check_moments",
    "decay_",
    "filled",
    "merge_",
    "merged",
    "present",
    "sum_over_ranks_",
    "sum_states_",
    "varies",
]
