"""The losses and scores logged while training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any, Self

import torch
from torch import Tensor


@dataclass
class History:
    """Losses of every step, scores of every epoch.

    Attributes:
        steps: steps taken, ascending from 1.
        losses: value of each loss at those steps; NaN before its first value.
        validation_steps: steps after which held-out samples were scored.
        validation: held-out scores at those steps, by name.
        solve_steps: steps at which the subspaces were solved.
        seconds: time spent in training.

    Example:
        >>> history = History()
        >>> history.add(1, {"task": 0.5})
        >>> history.add(2, {"task": 0.4, "guidance": 0.9})
        >>> history.losses
        {'task': [0.5, 0.4], 'guidance': [nan, 0.9]}
    """

    steps: list[int] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    validation_steps: list[int] = field(default_factory=list)
    validation: dict[str, list[float]] = field(default_factory=dict)
    solve_steps: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.losses.items())
        return f"History({len(self.steps)} steps, {len(self.solve_steps)} solves; last: {shorten(last, 120)})"

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Log the losses of a step."""
        _append(self.steps, self.losses, step, losses)

    def add_validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Log held-out scores after a step."""
        _append(self.validation_steps, self.validation, step, scores)

    def state_dict(self) -> dict[str, Any]:
        """Return the history with its curves as tensors, which keeps the checkpoint of a long run small."""
        return {
            "steps": torch.tensor(self.steps, dtype=torch.int64),
            "losses": _tensors(self.losses),
            "validation_steps": torch.tensor(self.validation_steps, dtype=torch.int64),
            "validation": _tensors(self.validation),
            "solve_steps": torch.tensor(self.solve_steps, dtype=torch.int64),
            "seconds": self.seconds,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the history of a :meth:`state_dict`."""
        return cls(**_lists(state))


def _tensors(curves: Mapping[str, list[float]]) -> dict[str, Tensor]:
    return {name: torch.tensor(curve, dtype=torch.float64) for name, curve in curves.items()}


def _lists(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _lists(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, Tensor) else state


def _append(steps: list[int], curves: dict[str, list[float]], step: int, values: Mapping[str, float]) -> None:
    for name in {**curves, **values}:
        curve = curves.setdefault(name, [float("nan")] * len(steps))
        curve.append(values.get(name, float("nan")))
    steps.append(step)
