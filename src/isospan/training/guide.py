"""Guidance inside the loop of another trainer: what the callbacks for all of them share."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from isospan.guided.objective import SpaceObjective
from isospan.training.means import Means


class Guide:
    """An objective that follows a trainer: to its device, in and out of validation, and through its epochs.

    Args:
        objective: the guidance.

    Attributes:
        training: means of the objective's terms since they were last read, of batches to train on.
        held_out: the same of other batches.

    Example:
        >>> guide = Guide(SpaceObjective({"energy": 2}, latent_dim=8))
        >>> z, y = torch.randn(16, 8), {"energy": torch.randn(16, 3)}
        >>> with torch.no_grad():
        ...     loss = guide.total(z.square().mean(), z, y)
        >>> int(guide.objective.step)
        0
    """

    def __init__(self, objective: SpaceObjective) -> None:
        self.objective, self.training, self.held_out = objective, Means(), Means()

    def total(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        read: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return ``objective.total(task_loss, z, y, read=read)``; without gradients the batch is not taken in."""
        if self.objective.step.device != z.device:
            self.objective.to(z.device)
        self.objective.train(torch.is_grad_enabled())
        loss = self.objective.total(task_loss, z, y, read=read)
        (self.training if self.objective.training else self.held_out).add(self.objective.terms, samples=len(z))
        return loss

    def held_out_means(self) -> dict[str, float]:
        """Return the means of batches that were not trained on, of all processes together, which all call it."""
        return self.held_out.all_reduce_(self.objective.ranks.group).read()

    def epochs_done(self, epochs: int) -> None:
        """End the objective's epochs until it has so many: a trainer that resumes may leave out the end of one."""
        while int(self.objective.epoch) < epochs:
            self.objective.end_epoch()
