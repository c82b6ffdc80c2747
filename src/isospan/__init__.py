"""Latent spaces with structure that is known beforehand.

The names that a training loop needs are here; each room has its own table of contents: :mod:`isospan.guided`,
:mod:`isospan.moments`, :mod:`isospan.linalg`, :mod:`isospan.training`, :mod:`isospan.datasets`, :mod:`isospan.reports`.
"""

from isospan.guided import (
    EveryEpochs,
    EverySteps,
    ExponentialSchedule,
    LatentSpace,
    Space,
    SpaceObjective,
    combined_loss,
    compute_Q,
    evaluate,
    fit_decoders,
    input_to_quantity,
    minimal_latent_dim,
    pool,
    solve_dims,
    solve_from_moments,
    solve_subspaces,
    threshold_sweep,
)
from isospan.moments import Moments
from isospan.settings import config

__version__ = "0.1.0"

__all__ = [
    "EveryEpochs",
    "EverySteps",
    "ExponentialSchedule",
    "LatentSpace",
    "Moments",
    "Space",
    "SpaceObjective",
    "combined_loss",
    "compute_Q",
    "config",
    "evaluate",
    "fit_decoders",
    "input_to_quantity",
    "minimal_latent_dim",
    "pool",
    "solve_dims",
    "solve_from_moments",
    "solve_subspaces",
    "threshold_sweep",
]
