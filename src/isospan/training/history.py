"""What was logged while training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class History:
    """Losses of every step, scores of every epoch.

    Attributes:
        steps: steps taken, ascending from 1.
        losses: value of each loss at those steps, NaN where it did not exist yet.
        validation_steps: steps after which held-out samples were scored.
        validation: held-out scores at those steps, by name.
        resolve_steps: steps at which the subspaces were solved again.
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
    resolve_steps: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Log the losses of a step."""
        _append(self.steps, self.losses, step, losses)

    def add_validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Log held-out scores after a step."""
        _append(self.validation_steps, self.validation, step, scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the history that :meth:`to_dict` wrote down."""
        return cls(**record)


def _append(steps: list[int], curves: dict[str, list[float]], step: int, values: Mapping[str, float]) -> None:
    for name in {**curves, **values}:
        curve = curves.setdefault(name, [float("nan")] * len(steps))
        curve.append(values.get(name, float("nan")))
    steps.append(step)
