"""Guidance of a latent space during training: the objective, its schedules, and a monitor of the subspaces.

The losses alone are in :mod:`isospan.guided.losses`.
"""

from isospan.guided._edit_loss import EditLoss
from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.guided._schedules import EveryEpochs, EverySteps, ExponentialSchedule, Schedule

__all__ = [
    "EditLoss",
    "EveryEpochs",
    "EverySteps",
    "ExponentialSchedule",
    "Schedule",
    "SpaceObjective",
    "SubspaceMonitor",
]
