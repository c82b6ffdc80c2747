"""Subspaces of a latent space that hold known quantities: solve, guide, use and evaluate them."""

from isospan.guided.change import subspace_change
from isospan.guided.decoders import decoders_from_moments, fit_decoders
from isospan.guided.evaluation import Evaluation, evaluate
from isospan.guided.latent_space import LatentSpace
from isospan.guided.losses import (
    alignment_loss,
    combined_loss,
    disentanglement_loss,
    disentanglement_loss_original,
    isotropy_loss,
    stability_loss,
)
from isospan.guided.objective import SpaceObjective
from isospan.guided.schedules import EveryEpochs, EverySteps, ExponentialSchedule, Schedule
from isospan.guided.subspaces import Space, principal_directions, solve_from_moments, solve_subspaces, subspaces

__all__ = [
    "Evaluation",
    "EveryEpochs",
    "EverySteps",
    "ExponentialSchedule",
    "LatentSpace",
    "Schedule",
    "Space",
    "SpaceObjective",
    "alignment_loss",
    "combined_loss",
    "decoders_from_moments",
    "disentanglement_loss",
    "disentanglement_loss_original",
    "evaluate",
    "fit_decoders",
    "isotropy_loss",
    "principal_directions",
    "solve_from_moments",
    "solve_subspaces",
    "stability_loss",
    "subspace_change",
    "subspaces",
]
