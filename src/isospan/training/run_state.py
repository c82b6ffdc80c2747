"""One training run: its steps, and all of its state for a checkpoint."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from isospan.errors import NonFiniteError
from isospan.guided.monitor import SubspaceMonitor
from isospan.guided.objective import SpaceObjective
from isospan.training.history import History
from isospan.training.readout import Quantities
from isospan.training.samples import Samples
from isospan.training.schedule import learning_rate


@dataclass
class Run:
    """A model in training, with what moves it on and what counts its progress.

    Attributes:
        model: maps fields to (reconstruction, latents).
        objective: the guidance, if any.
        quantities: from a batch to targets, with an objective.
        generator: of the order of samples and of their displacements.
        scale: standard deviation (C, 1, 1) of the channels, the unit of the task loss.
        lr: the highest learning rate.
        total: steps of the whole run.
        settings: what must be the same for the run to be continued.
        epoch: epochs done.
        step: steps done.
        history: losses so far.
        monitor: follows the subspaces, if any does.
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

    def __post_init__(self) -> None:
        """Make the optimiser and set training mode."""
        self.epoch_generator = self.generator.get_state()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr)
        self.model.train()
        if self.objective is not None:
            self.objective.to(self.scale.device).train()

    def train_step(self, batch: Samples) -> dict[str, float]:
        """Take one step of the optimiser and return its losses."""
        started = time.perf_counter()
        self.step += 1
        loss, losses = self._loss(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.history.add(self.step, losses)
        self._follow()
        self.history.seconds += time.perf_counter() - started
        return losses

    def end_epoch(self) -> None:
        """Count an epoch; the objective re-solves where its schedule says so."""
        self.epoch += 1
        self.epoch_generator = self.generator.get_state()
        if self.objective is not None:
            self.objective.end_epoch()
            self.history.resolve_steps = list(self.objective.resolve_steps)
            self._follow()

    def state(self) -> dict[str, Any]:
        """All that continuing bit for bit needs; the generator as it was when the epoch began."""
        device = self.scale.device
        return {
            "settings": dict(self.settings),
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "objective": None if self.objective is None else self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.epoch_generator,
            "global_generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "history": self.history.state_dict(),
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that :meth:`state` gave."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.model.load_state_dict(state["model"])
        if self.objective is not None:
            self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.epoch_generator = state["generator"]
        torch.set_rng_state(state["global_generator"])
        if state["cuda_generator"] is not None and self.scale.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.scale.device)
        self.history = History.from_state_dict(state["history"])
        if self.monitor is not None and state.get("monitor") is not None:
            self.monitor.load_state_dict(state["monitor"])

    def _follow(self) -> None:
        if self.monitor is not None and self.objective is not None:
            self.monitor.update(self.objective)

    def _loss(self, batch: Samples) -> tuple[Tensor, dict[str, float]]:
        x, _ = batch.tensors()
        x_hat, z = self.model(x)
        task = ((x_hat - x) / self.scale).square().mean()
        self._check_finite(task)
        if self.objective is None or self.quantities is None:
            return task, {"task": float(task.detach())}
        total = self.objective.total(task, z, self.quantities(batch))
        self._check_finite(total)
        terms = {name: float(value) for name, value in self.objective.terms.items()}
        guidance = {"guidance": terms.pop("total")} if "total" in terms else {}
        return total, {"task": float(task.detach())} | guidance | terms

    def _rate(self) -> float:
        return learning_rate(self.step, self.total, lr=self.lr)

    def _check_finite(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFiniteError(
                f"Training diverged: the loss is {float(loss.detach())} at step {self.step} of {self.total}, at a "
                f"learning rate of {self._rate():.3g}. Lower the learning rate (lr={self.lr / 10:.3g}), or look for "
                "extreme values in the fields and quantities."
            )
