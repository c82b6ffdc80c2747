"""Guidance while training: the objective, its schedules, and a monitor of the subspaces.

:mod:`isospan.guided.losses` has the losses alone.
"""

from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.guided._schedules import EveryEpochs, EverySteps, ExponentialSchedule, Schedule

__all__ = ["EveryEpochs", "EverySteps", "ExponentialSchedule", "Schedule", "SpaceObjective", "SubspaceMonitor"]
