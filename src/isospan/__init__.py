"""Latent spaces with structure that is known beforehand.

The names that a training loop needs are here; each room has its own table of contents: :mod:`isospan.guided`,
:mod:`isospan.groups`, :mod:`isospan.representations`, :mod:`isospan.nn`, :mod:`isospan.moments`, :mod:`isospan.linalg`,
:mod:`isospan.training`, :mod:`isospan.datasets`, :mod:`isospan.experiment.reports`.
They load when first used, so that ``isospan --help`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isospan.guided import (
        EveryEpochs,
        EverySteps,
        ExponentialSchedule,
        LatentSpace,
        Space,
        SpaceObjective,
        combine,
        combined_loss,
        evaluate,
        fit_decoders,
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
    "combine",
    "combined_loss",
    "config",
    "evaluate",
    "fit_decoders",
    "minimal_latent_dim",
    "pool",
    "solve_dims",
    "solve_from_moments",
    "solve_subspaces",
    "threshold_sweep",
]

_ROOMS = {"Moments": "isospan.moments", "config": "isospan.settings"}


def __getattr__(name: str) -> Any:
    """Load a name of this page from its room."""
    if name not in __all__:
        raise AttributeError(f"module 'isospan' has no attribute {name!r}")
    return getattr(import_module(_ROOMS.get(name, "isospan.guided")), name)
