"""Process-wide settings of the decompositions.

Example:
    >>> from isospan.settings import config
    >>> with config.context(solver_mode="eigen"):
    ...     config.solver_mode
    'eigen'
    >>> config.solver_mode
    'auto'
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch

from isospan._core.checks import check_choice
from isospan.errors import OptionError

SolverMode = Literal["auto", "svd", "eigen", "lowrank"]


@dataclass
class Settings:
    """How decompositions are computed.

    Attributes:
        solver_mode: ``"auto"`` and ``"svd"`` are exact singular value decompositions; ``"auto"`` falls back to the
            eigenvalues of the Gram matrix where the SVD does not converge. ``"eigen"`` always uses the Gram matrix
            (faster, singular values below sqrt(eps) times the largest are lost). ``"lowrank"`` is randomised, with
            its own random numbers: it approximates the k vectors that a subspace needs, and saves time where k is far
            below the size of the matrix. It never returns fewer vectors than asked: where all are wanted (``left``,
            ``right``, ``full``, ``singular_values``) it is as exact as the others and no faster.
        n_lowrank_iters: power iterations of ``"lowrank"``, at least 0; more are more exact.
        use_full_matrix: return complete orthonormal bases ("full_matrices" of an SVD) from ``left``, ``right`` and
            ``full`` instead of min(m, n) vectors, whatever the ``solver_mode``.
        use_cpu_fallback: decompose on the CPU and move the result back (for devices without the routine).
        device: without effect, in isospan as in spacelearn 0.1.0; it is kept so that code written for that runs.
            Results are on the device of the data.
    """

    solver_mode: SolverMode = "auto"
    n_lowrank_iters: int = 2
    use_full_matrix: bool = False
    use_cpu_fallback: bool = False
    device: torch.device | str | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set one setting after checking that it exists and that its value is valid."""
        known = [field.name for field in fields(self)]
        if name not in known:
            raise OptionError(f"There is no setting {name!r}. The settings are {', '.join(known)}.")
        if name == "solver_mode":
            check_choice(value, get_args(SolverMode), what="solver_mode")
        if name == "n_lowrank_iters" and (not isinstance(value, int) or value < 0):
            raise OptionError(f"n_lowrank_iters must be a whole number of at least 0, got {value!r}.")
        object.__setattr__(self, name, value)

    @contextmanager
    def context(self, **changes: Any) -> Iterator["Settings"]:
        """Change settings inside a ``with`` block and restore them afterwards, also after an error."""
        before = {field.name: getattr(self, field.name) for field in fields(self)}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


config: Settings = Settings()
"""The settings of this process."""
