"""One training run, of one or several processes: its steps, and its state for a checkpoint."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from isospan._core.processes import Ranks
from isospan.errors import NonFiniteError
from isospan.experiment.samples import Samples, Shard
from isospan.experiment.training._history import History
from isospan.experiment.training._readout import Quantities
from isospan.experiment.training._task import RECONSTRUCTION, Task
from isospan.guided import SpaceObjective, SubspaceMonitor

WARM_UP_STEPS = 10
LAST_RATE = 0.01


@dataclass
class Run:
    """A model in training, with its optimiser, guidance, generator and progress.

    All processes have the same model. Each passes its shard of a global batch, and gradients are summed, so the weights
    are equal on all processes to the last bit. At the end of an epoch, buffers that depend on the samples (running
    statistics) become those of the first process. All processes call every method.

    Attributes:
        model: maps fields to (reconstruction, latents).
        objective: the guidance; None without.
        quantities: maps a batch to targets; needed with an objective.
        generator: generator of the order of samples, and of their shifts and flips.
        scale: standard deviation (C, 1, 1) of the channels, the unit of the task loss.
        lr: the highest learning rate.
        total: number of steps of the run.
        settings: a checkpoint is only resumed with the same settings.
        epoch: epochs done.
        step: steps done.
        history: losses so far.
        monitor: records the subspaces; None for no record.
        shard: the rows of every global batch for this process.
        task: what the model learns from a batch.
    """

    model: nn.Module
    objective: SpaceObjective | None
    quantities: Quantities | None
    generator: torch.Generator
    scale: Tensor
    lr: float
    total: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    history: History = field(default_factory=History)
    monitor: SubspaceMonitor | None = None
    shard: Shard = field(default_factory=Shard.own)
    task: Task = RECONSTRUCTION

    def __post_init__(self) -> None:
        """Make the optimiser, set training mode, and copy the model of the first process."""
        self.ranks = Ranks()
        self._broadcast_([*self.model.parameters(), *self.model.buffers()])
        self.epoch_generator = self.generator.get_state()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr)
        self.model.train()
        if self.objective is not None:
            self.objective.to(self.scale.device).train()

    def __repr__(self) -> str:
        return f"Run({type(self.model).__name__}, step {self.step} of {self.total}, epoch {self.epoch}, {self.shard})"

    def train_step(self, shard: Samples, global_size: int) -> dict[str, float]:
        """Take one step of the optimiser and return its losses.

        Args:
            shard: the rows of this process.
            global_size: number of samples of the global batch.
        """
        started = time.perf_counter()
        self.step += 1
        loss, losses = self._loss(shard, global_size)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._average_gradients()
        self.optimizer.step()
        self.history.add(self.step, losses)
        self._follow()
        self.history.seconds += time.perf_counter() - started
        return losses

    def end_epoch(self) -> None:
        """End an epoch. The objective solves if its schedule says so."""
        self.epoch += 1
        self._broadcast_(list(self.model.buffers()))
        self.epoch_generator = self.generator.get_state()
        if self.objective is not None:
            self.objective.end_epoch()
            self.history.solve_steps = list(self.objective.solve_steps)
            self._follow()

    def state(self) -> dict[str, Any]:
        """Return the state from which training continues bit for bit, with the generator at the start of the epoch."""
        self._broadcast_(list(self.model.buffers()))
        if self.objective is not None:
            self.objective.synchronize()
        return {
            "settings": dict(self.settings),
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "objective": None if self.objective is None else self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.epoch_generator,
            "global_generators": self.ranks.gather(self._global_generators()),
            "history": self.history.state_dict(),
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
            "terms": {} if self.objective is None else dict(self.objective.terms),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state`."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.model.load_state_dict(state["model"])
        if self.objective is not None:
            self.objective.load_state_dict(state["objective"])
            terms = state.get("terms", {})
            self.objective.terms = {name: value.to(self.scale.device) for name, value in terms.items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.epoch_generator = state["generator"]
        if self.shard.rank < len(state["global_generators"]):
            self._set_global_generators(*state["global_generators"][self.shard.rank])
        self.history = History.from_state_dict(state["history"])
        if self.monitor is not None and state.get("monitor") is not None:
            self.monitor.load_state_dict(state["monitor"])

    def _follow(self) -> None:
        if self.monitor is not None and self.objective is not None:
            self.monitor.update(self.objective)

    def _loss(self, shard: Samples, global_size: int) -> tuple[Tensor, dict[str, float]]:
        r"""Return all losses, and the one of this process: its mean over R processes is that of the global batch.

        .. math:: L_r = R \, \frac{1}{B C H W} \sum_{b \in r} \| (\hat x_b - x_b) / \sigma \|^2

        B is the size of the global batch.
        """
        target = self.task.target(shard)
        output, z = self.model(self.task.input(shard))
        idle, error = not self.shard.count(global_size), ((output - target) / self.scale).square()
        own = (error[:0] if idle else error).sum() / (global_size * target[0].numel())
        task = self._summed(own.detach())
        self._check_finite(task)
        if self.objective is None or self.quantities is None:
            return own * self.shard.size, {"task": float(task)}
        y = self.quantities(shard)
        if idle:
            z, y = z[:0], {name: q[:0] for name, q in y.items()}
        total = self.objective.total_loss(own * self.shard.size, z, y)
        self._check_finite(total)
        self.objective.terms |= {"task": task}
        terms = {name: float(value) for name, value in self.objective.terms.items()}
        guidance = {"guidance": terms.pop("total")} if "total" in terms else {}
        return total, {"task": float(task)} | guidance | terms

    def _summed(self, value: Tensor) -> Tensor:
        """Sum a number over the processes, so that all of them continue or fail together."""
        value = value.clone()
        if self.shard.size > 1:
            self.ranks.sum_([value])
        return value

    def _average_gradients(self) -> None:
        if self.shard.size == 1:
            return
        for gradients in _by_dtype([p.grad for p in self.model.parameters() if p.grad is not None]):
            self.ranks.sum_(gradients)
            torch._foreach_div_(gradients, self.shard.size)

    @torch.no_grad()
    def _broadcast_(self, tensors: list[Tensor]) -> None:
        """Copy tensors of the first process to the others."""
        if self.shard.size > 1:
            for alike in _by_dtype(tensors):
                self.ranks.broadcast_(alike)

    def _global_generators(self) -> list[Tensor]:
        device = self.scale.device
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]

    def _set_global_generators(self, cpu: Tensor, cuda: Tensor | None = None) -> None:
        torch.set_rng_state(cpu)
        if cuda is not None and self.scale.device.type == "cuda":
            torch.cuda.set_rng_state(cuda, self.scale.device)

    def _rate(self) -> float:
        return learning_rate(self.step, self.total, lr=self.lr)

    def _check_finite(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFiniteError(
                f"Training diverged: the loss is {float(loss.detach())} at step {self.step} of {self.total}, with a "
                f"learning rate of {self._rate():.3g}. Lower the learning rate (lr={self.lr / 10:.3g}), or look for "
                "extreme values in the fields and quantities."
            )


def learning_rate(step: int, total: int, *, lr: float) -> float:
    r"""Learning rate of a step from 1 to ``total``: a linear warm-up of ten steps times a cosine down to 0.01 ``lr``.

    Example:
        >>> [round(learning_rate(step, 1000, lr=1.0), 3) for step in (1, 10, 500, 1000)]
        [0.1, 1.0, 0.505, 0.01]
    """
    cosine = 0.5 * (1 + math.cos(math.pi * step / total))
    return lr * min(1.0, step / WARM_UP_STEPS) * (LAST_RATE + (1 - LAST_RATE) * cosine)


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    """Group tensors by dtype, since one message has one dtype."""
    alike = defaultdict[torch.dtype, list[Tensor]](list)
    for tensor in tensors:
        alike[tensor.dtype].append(tensor)
    return list(alike.values())
