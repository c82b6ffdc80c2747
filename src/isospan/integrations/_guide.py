"""Guidance inside the loop of another trainer: what the callbacks for all of them share."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from isospan.guided._monitor import SubspaceMonitor
from isospan.guided._objective import SpaceObjective
from isospan.guided.losses._combined import TERMS
from isospan.integrations._means import Means


class Guide:
    """An objective that follows a trainer: to its device, in and out of validation, and through its epochs.

    Under ``torch.distributed`` all processes call :meth:`total` with gradients, :meth:`held_out_means`,
    :meth:`epochs_done` and :meth:`state_dict`.

    Args:
        objective: the guidance.
        monitor: records how the subspaces of the objective move.

    Attributes:
        terms: those of the last batch that was trained on, of all processes together.
        training: means of the terms that have a weight, since they were last read, of batches to train on.
        held_out: the same of other batches.

    Example:
        >>> guide = Guide(SpaceObjective({"energy": 2}, latent_dim=8))
        >>> z, y = torch.randn(16, 8), {"energy": torch.randn(16, 3)}
        >>> with torch.no_grad():
        ...     loss = guide.total(z.square().mean(), z, y)
        >>> int(guide.objective.step)
        0
    """

    def __init__(self, objective: SpaceObjective, monitor: SubspaceMonitor | None = None) -> None:
        self.objective, self.monitor, self.terms = objective, monitor, dict[str, Tensor]()
        self.training, self.held_out = Means(), Means()
        self.evaluating, self._mode = False, objective.training

    @property
    def logged(self) -> dict[str, Tensor]:
        """The :attr:`terms` that have a weight; the others are 0."""
        return self._weighed(self.terms)

    def total(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        read: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return ``objective.total(task_loss, z, y, read=read)``.

        In an evaluation (:meth:`begin_evaluation`), and without gradients, the batch is not taken in.
        """
        if self.objective.step.device != z.device:
            self.objective.to(z.device)
        self.objective.train(torch.is_grad_enabled() and not self.evaluating)
        loss = self.objective.total(task_loss, z, y, read=read)
        if self.objective.training:
            self._trained(samples=len(z))
        else:
            self.held_out.add(self._weighed(self.objective.terms), samples=len(z))
        return loss

    def begin_evaluation(self) -> None:
        """Take in no batch until :meth:`end_evaluation`, whether gradients are on or the objective itself is called."""
        self.evaluating, self._mode = True, self.objective.training
        self.objective.eval()

    def end_evaluation(self) -> None:
        """Give the objective the mode that it had, and forget means that nobody asked for."""
        if self.evaluating:
            self.evaluating, self.held_out = False, Means()
            self.objective.train(self._mode)

    def held_out_means(self) -> dict[str, float]:
        """Return the means of batches that were not trained on, of all processes together."""
        return self.held_out.all_reduce_(self.objective.ranks.group).read()

    def epochs_done(self, epochs: int) -> None:
        """End the objective's epochs until it has so many: a trainer that resumes may leave out the end of one."""
        while int(self.objective.epoch) < epochs:
            self.objective.terms = dict(self.terms)  # a validation before the end of the epoch has left its own
            self.objective.end_epoch()
            self._follow()

    def state_dict(self) -> dict[str, Any]:
        """Return all that continuing needs: dicts and lists of tensors, numbers and strings."""
        self.objective.settle()
        return {
            "objective": self.objective.state_dict(),
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
            "terms": dict(self.terms),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave."""
        self.objective.load_state_dict(state["objective"])
        self.terms = dict(state["terms"])
        if self.monitor is not None and state["monitor"] is not None:
            self.monitor.load_state_dict(state["monitor"])

    def _trained(self, *, samples: int) -> None:
        """Log the terms of a batch that was trained on."""
        self.terms, of_all = self._of_all(self.objective.terms, samples)
        self.objective.terms = self.terms
        self.training.add(self.logged, samples=of_all)
        self._follow()

    def _weighed(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.objective.weights
        return {name: value for name, value in terms.items() if name not in TERMS or weights.get(name)}

    def _follow(self) -> None:
        if self.monitor is not None:
            self.monitor.update(self.objective)

    def _of_all(self, terms: Mapping[str, Tensor], samples: int) -> tuple[dict[str, Tensor], int]:
        """The terms, with the loss of the task as a mean over the samples of all processes, and how many these are."""
        if "task" not in terms or self.objective.ranks.size == 1:
            return dict(terms), samples
        task = terms["task"].double()
        total = torch.stack([samples * task if samples else task.new_zeros(()), task.new_tensor(float(samples))])
        self.objective.ranks.sum_([total])
        return dict(terms) | {"task": (total[0] / total[1]).to(terms["task"].dtype)}, int(total[1])
