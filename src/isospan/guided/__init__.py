"""Subspaces of a latent space that hold known quantities: solve, guide, use and evaluate them."""

from isospan.evaluation._evaluation import Evaluation, evaluate, evaluate_moments
from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.guided._schedules import EveryEpochs, EverySteps, ExponentialSchedule, Schedule
from isospan.guided.losses import (
    alignment_loss,
    combined_loss,
    disentanglement_loss,
    disentanglement_loss_original,
    isotropy_loss,
    stability_loss,
)
from isospan.quantities import combine, pool
from isospan.sizing import (
    ThresholdSweep,
    k_per_q,
    minimal_latent_dim,
    optimal_bins,
    solve_dims,
    threshold_sweep,
)
from isospan.subspaces._change import subspace_change
from isospan.subspaces._decoders import decoders_from_moments, fit_decoders
from isospan.subspaces._fitting import space_from_moments
from isospan.subspaces._latent_space import LatentSpace
from isospan.subspaces._solve import Space, principal_directions, solve_from_moments, solve_subspaces, subspaces

__all__ = [
    "Evaluation",
    "EveryEpochs",
    "EverySteps",
    "ExponentialSchedule",
    "LatentSpace",
    "Schedule",
    "Space",
    "SpaceObjective",
    "SubspaceMonitor",
    "ThresholdSweep",
    "alignment_loss",
    "combine",
    "combined_loss",
    "decoders_from_moments",
    "disentanglement_loss",
    "disentanglement_loss_original",
    "evaluate",
    "evaluate_moments",
    "fit_decoders",
    "isotropy_loss",
    "k_per_q",
    "minimal_latent_dim",
    "optimal_bins",
    "pool",
    "principal_directions",
    "solve_dims",
    "solve_from_moments",
    "solve_subspaces",
    "space_from_moments",
    "stability_loss",
    "subspace_change",
    "subspaces",
    "threshold_sweep",
]
