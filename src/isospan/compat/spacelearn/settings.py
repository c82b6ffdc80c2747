"""How decompositions are computed, as spacelearn has it."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from isospan import settings as ours
from isospan._core.checks import check_choice
from isospan.errors import OptionError

__all__ = ["Settings", "config"]

SolverMode = Literal["auto", "svd", "eigen", "lowrank"]


@dataclass
class Settings(ours.Settings):
    """The settings of spacelearn 0.1.0, for its functions ``left``, ``right``, ``full`` and ``singular_values``.

    Subspaces are solved exactly whatever the settings.

    Attributes:
        solver_mode: ``"auto"``, ``"svd"`` and ``"lowrank"`` are the exact singular value decomposition, with all
            vectors. ``"eigen"`` takes them from the Gram matrix: singular values below sqrt(eps) times the largest are
            lost. ``"auto"`` does this where the decomposition does not converge.
        n_lowrank_iters: without effect, at least 0.
        use_full_matrix: return complete orthonormal bases ("full_matrices" of an SVD) instead of min(m, n) vectors.
        use_cpu_fallback: of ``config``, that of :mod:`isospan.settings` too, so it applies to every decomposition.
        device: without effect, as in spacelearn 0.1.0. Results are on the device of the data.

    Example:
        >>> with config.context(solver_mode="eigen"):
        ...     config.solver_mode
        'eigen'
    """

    solver_mode: SolverMode = "auto"
    n_lowrank_iters: int = 2
    use_full_matrix: bool = False
    device: torch.device | str | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set one setting after checking that it exists and that its value is valid."""
        if name == "solver_mode":
            check_choice(value, get_args(SolverMode), what="solver_mode")
        if name == "n_lowrank_iters" and (not isinstance(value, int) or value < 0):
            raise OptionError(f"n_lowrank_iters must be a whole number of at least 0, got {value!r}.")
        super().__setattr__(name, value)
        if name == "use_cpu_fallback" and self is globals().get("config"):
            setattr(ours.config, name, value)


config: Settings = Settings()


def __dir__() -> list[str]:
    return __all__
