"""Guidance inside the loop of a trainer, shared by the callbacks for all trainers."""

from collections.abc import Callable, Mapping
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations._means import Means


class Guide:
    """An objective that follows a trainer: its device, its evaluations, and its epochs.

    Under ``torch.distributed`` all processes call :meth:`total_loss` with gradients, :meth:`held_out_means`,
    :meth:`epochs_done` and :meth:`state_dict`.

    Args:
        objective: the guidance.
        monitor: records the rotation of the subspaces.

    Attributes:
        terms: loss terms of the last training batch, over all processes.
        training: means over training batches of the terms with a weight, since they were last read.
        held_out: means over the other batches.
        evaluating: whether the trainer is evaluating.

    Example:
        >>> guide = Guide(SpaceObjective({"energy": 2}, latent_dim=8))
        >>> z, y = torch.randn(16, 8), {"energy": torch.randn(16, 3)}
        >>> with torch.no_grad():
        ...     loss = guide.total_loss(z.square().mean(), z, y)
        >>> int(guide.objective.step)
        0
    """

    objective: SpaceObjective
    monitor: SubspaceMonitor | None
    terms: dict[str, Tensor]
    training: Means
    held_out: Means
    evaluating: bool

    def __init__(self, objective: SpaceObjective, monitor: SubspaceMonitor | None = None) -> None:
        self.objective, self.monitor, self.terms = objective, monitor, {}
        self.training, self.held_out = Means(), Means()
        self.evaluating, self._mode = False, objective.training

    def __repr__(self) -> str:
        k = shorten(str(dict(self.objective.k)), 120, placeholder=" …}")
        return f"Guide(k={k}, step={int(self.objective.step)}, epoch={int(self.objective.epoch)})"

    def total_loss(
        self,
        task_loss: Tensor,
        z: Tensor,
        y: Mapping[str, Tensor],
        *,
        to_latents: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return ``objective.total_loss(task_loss, z, y, to_latents=to_latents)``.

        In an evaluation (:meth:`begin_evaluation`), and without gradients, the batch does not update the objective.
        """
        if self.objective.step.device != z.device:
            self.objective.to(z.device)
        self.objective.train(torch.is_grad_enabled() and not self.evaluating)
        loss = self.objective.total_loss(task_loss, z, y, to_latents=to_latents)
        if self.objective.training:
            self._log_training(samples=len(z))
        else:
            self.held_out.add(self.objective.terms, samples=len(z))
        return loss

    def begin_evaluation(self) -> None:
        """Do not update the objective until :meth:`end_evaluation`, not even by direct calls of it."""
        self.evaluating, self._mode = True, self.objective.training
        self.objective.eval()

    def end_evaluation(self) -> None:
        """Restore the mode of the objective, and clear the held-out means."""
        if self.evaluating:
            self.evaluating, self.held_out = False, Means()
            self.objective.train(self._mode)

    def held_out_means(self) -> dict[str, float]:
        """Return the held-out means, over all processes."""
        return self.held_out.all_reduce_(self.objective.ranks.group).read()

    def epochs_done(self, epochs: int) -> None:
        """End epochs of the objective until their number is ``epochs``: a resumed trainer may skip the end of one."""
        while int(self.objective.epoch) < epochs:
            self.objective.terms = dict(self.terms)  # a validation may have replaced them
            self.objective.end_epoch()
            self._follow()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: dicts and lists of tensors, numbers and strings."""
        self.objective.synchronize()
        return {
            "objective": self.objective.state_dict(),
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
            "terms": dict(self.terms),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.objective.load_state_dict(state["objective"])
        self.terms = dict(state["terms"])
        if self.monitor is not None and state["monitor"] is not None:
            self.monitor.load_state_dict(state["monitor"])

    def _log_training(self, *, samples: int) -> None:
        """Add the terms of a training batch to the means."""
        self.terms, global_size = self._of_all_processes(self.objective.terms, samples)
        self.objective.terms = self.terms
        self.training.add(self.terms, samples=global_size)
        self._follow()

    def _follow(self) -> None:
        if self.monitor is not None:
            self.monitor.update(self.objective)

    def _of_all_processes(self, terms: Mapping[str, Tensor], samples: int) -> tuple[dict[str, Tensor], int]:
        """Return the terms with the mean task loss over all processes, and the size of the global batch."""
        if "task" not in terms or self.objective.ranks.size == 1:
            return dict(terms), samples
        task = terms["task"].double()
        total = torch.stack([samples * task if samples else task.new_zeros(()), task.new_tensor(float(samples))])
        self.objective.ranks.sum_([total])
        return dict(terms) | {"task": (total[0] / total[1]).to(terms["task"].dtype)}, int(total[1])
