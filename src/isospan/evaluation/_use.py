"""Evaluation of what a network does with its latent: its error when parts of the latent are replaced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isospan._core.checks import as_floating, check_finite, check_latents
from isospan._core.modes import evaluating
from isospan.errors import ShapeError
from isospan.subspaces import LatentSpace

if TYPE_CHECKING:
    from pandas import DataFrame

HARDLY = 0.1
"""Relative increase of the error with the mean latent below which a network hardly uses its latent."""


@dataclass(frozen=True, eq=False)
class UseEvaluation:
    """Errors of a task with the latent, without it, and without the subspace of each quantity.

    Attributes:
        error: mean error with the true latent.
        mean_error: mean error with the mean latent.
        replaced_error: {name: error} where the coordinates of the quantity's subspace are those of the mean latent.
        erased_error: {name: error} where also what covaries with these coordinates is erased.
        n_samples: how many samples were scored.
    """

    error: float
    mean_error: float
    replaced_error: dict[str, float]
    erased_error: dict[str, float]
    n_samples: int

    @property
    def increase(self) -> float:
        """Increase of the error with the mean latent, over the size of the error."""
        return (
            (self.mean_error - self.error) / abs(self.error)
            if self.error
            else float("inf" if self.mean_error else "nan")
        )

    @property
    def uses_latent(self) -> bool:
        """Whether the error with the mean latent is larger by at least a tenth."""
        return self.increase >= HARDLY

    @property
    def note(self) -> str:
        """Why a network does not use its latent, and what helps; empty where it does."""
        if self.uses_latent:
            return ""
        return (
            f"The network hardly uses its latent: its error is {self.mean_error:.3g} with the mean latent and "
            f"{self.error:.3g} with the true one. Edits of the latent then have no effect on the output. That happens "
            "where skip connections carry the input past the latent. Remove these, train the encoder with the guidance "
            "first and then the decoder, or train the decoder for edits."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts, ready for JSON."""
        return {
            "error": self.error,
            "mean_error": self.mean_error,
            "replaced_error": dict(self.replaced_error),
            "erased_error": dict(self.erased_error),
            "uses_latent": self.uses_latent,
            "n_samples": self.n_samples,
        }

    def to_frame(self) -> "DataFrame":
        """Return one row for the true latent, the mean latent, and each subspace (needs pandas)."""
        from pandas import DataFrame

        nan = float("nan")
        rows = {"true latent": (self.error, self.error), "mean latent": (self.mean_error, self.mean_error)}
        rows |= {name: (error, self.erased_error.get(name, nan)) for name, error in self.replaced_error.items()}
        return DataFrame.from_dict(rows, orient="index", columns=["replaced_error", "erased_error"])


@torch.no_grad()
def evaluate_use(space: LatentSpace, task: Callable[[Tensor], Tensor | float], z: Tensor) -> UseEvaluation:
    """Measure how the error of a task grows where the latent, or the subspace of a quantity, is that of the mean.

    The mean latent and the coordinates are those of the space. A subspace is replaced by ``z - space.project(z, name)``
    and erased by :meth:`~isospan.subspaces.LatentSpace.erase`. If the error with the mean latent is larger by less than
    a tenth, the network hardly uses its latent; ``note`` says why and what helps.

    Args:
        space: the latent space.
        task: maps latents (N, D) to the error of each sample (N,), or to their mean. It computes the output with these
            latents instead of the encoder's, and compares it. A module, or a method of one, is put into evaluation
            mode meanwhile.
        z: held-out latents (N, D).

    Raises:
        ShapeError, DtypeError, NonFiniteError: z or the errors do not fit.
        NotSolvedError: the space does not hold the covariance of the latents.

    Example:
        >>> from isospan.subspaces import solve_subspaces
        >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> space = solve_subspaces(z, {"first": z[:, 0], "last": z[:, 2]}, k=1)
        >>> use = evaluate_use(space, lambda latents: (latents[:, 0] - z[:, 0]) ** 2 + 1, z)
        >>> use.uses_latent, use.replaced_error["first"] > 1.5, use.replaced_error["last"] < 1.1
        (True, True, True)
        >>> evaluate_use(space, lambda latents: 0.015 * torch.ones(len(latents)), z).uses_latent
        False
    """
    z = check_latents(z)
    space.check_width(z)

    def error(latents: Tensor) -> float:
        errors = task(latents)
        if isinstance(errors, (float, int)):
            errors = torch.tensor(float(errors), dtype=torch.float64)
        errors = as_floating(errors, what="The errors of the task")
        if errors.shape not in ((), (len(z),)):
            raise ShapeError(
                f"The task must return one error, or one for each of the {len(z)} latents, got {tuple(errors.shape)}. "
                "Average over the entries of a sample."
            )
        check_finite(errors, what="The errors of the task")
        return float(errors.double().mean())

    with evaluating(task):
        return UseEvaluation(
            error=error(z),
            mean_error=error(space.z_mean.to(z).expand_as(z)),
            replaced_error={name: error(z - space.project(z, name)) for name in space.names},
            erased_error={name: error(space.erase(z, name)) for name in space.names},
            n_samples=len(z),
        )
