"""Latent spaces with structure that is known beforehand: guided subspaces, symmetry, and both.

Subpackages and the names that a training loop needs load when they are first used. So ``import isospan as iso`` is
cheap, and ``iso.nn`` or ``iso.groups`` need no further import.

Example:
    >>> import isospan as iso
    >>> iso.nn.Linear(rep := iso.CyclicGroup(4).regular_representation, rep).coefficients.shape
    torch.Size([4])
"""

# pyright: reportUnsupportedDunderAll=false

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "EMLP",
    "IMLP",
    "SO2",
    "SO3",
    "CyclicGroup",
    "DihedralGroup",
    "Evaluation",
    "EveryEpochs",
    "EverySteps",
    "ExponentialSchedule",
    "IcosahedralGroup",
    "LatentSpace",
    "Moments",
    "Representation",
    "SpaceObjective",
    "SubspaceMonitor",
    "combine",
    "combined_loss",
    "compat",
    "datasets",
    "direct_sum",
    "errors",
    "evaluate",
    "evaluation",
    "experiment",
    "fit_decoders",
    "groups",
    "guided",
    "integrations",
    "linalg",
    "minimal_latent_dim",
    "models",
    "moments",
    "nn",
    "plotting",
    "pool",
    "quantities",
    "representations",
    "settings",
    "sizing",
    "solve_dims",
    "solve_from_moments",
    "solve_subspaces",
    "subspaces",
    "symmetric",
    "testing",
    "threshold_sweep",
]

_HOMES = {
    "evaluation": ("Evaluation", "evaluate"),
    "groups": ("CyclicGroup", "DihedralGroup", "IcosahedralGroup", "SO2", "SO3"),
    "guided": (
        "EveryEpochs",
        "EverySteps",
        "ExponentialSchedule",
        "SpaceObjective",
        "SubspaceMonitor",
    ),
    "guided.losses": ("combined_loss",),
    "models": ("EMLP", "IMLP"),
    "moments": ("Moments",),
    "quantities": ("combine", "pool"),
    "representations": ("Representation", "direct_sum"),
    "sizing": ("minimal_latent_dim", "solve_dims", "threshold_sweep"),
    "subspaces": ("LatentSpace", "fit_decoders", "solve_from_moments", "solve_subspaces"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a subpackage, or a name from its subpackage."""
    if name not in __all__:
        raise AttributeError(f"module 'isospan' has no attribute {name!r}")
    if name in _HOME_OF:
        return getattr(import_module(f"isospan.{_HOME_OF[name]}"), name)
    return import_module(f"isospan.{name}")


def __dir__() -> list[str]:
    """Return what tab completion shows: the names of the API and the version."""
    return [*__all__, "__version__"]
