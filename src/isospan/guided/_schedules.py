"""Schedules: when to solve the subspaces during training."""

from dataclasses import dataclass
from math import inf
from typing import Protocol, runtime_checkable

from isospan._core.checks import as_number, check_count
from isospan.errors import OptionError


@runtime_checkable
class Schedule(Protocol):
    """Decides at which steps and epochs to solve the subspaces. Both are counted from 1."""

    def due_at_step(self, step: int) -> bool:
        """Whether to solve after this step."""
        ...

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether to solve at the end of this epoch."""
        ...


def check_schedule(schedule: Schedule) -> Schedule:
    """Require an object with the methods of a schedule."""
    if isinstance(schedule, type) or not isinstance(schedule, Schedule):
        raise OptionError(
            f"schedule must be a schedule such as ExponentialSchedule(), EverySteps(100) or EveryEpochs(1), got "
            f"{schedule!r}."
        )
    return schedule


@dataclass(frozen=True)
class ExponentialSchedule:
    r"""Solve often early in training and rarely later.

    .. math:: \text{step}_i = \lfloor \text{first} \cdot \text{growth}^i \rfloor, \qquad i = 0, 1, 2, \ldots

    Args:
        first: the first step, at least 1.
        growth: ratio of one step to the one before, above 1.

    Raises:
        OptionError: a number outside these ranges.

    Example:
        >>> schedule = ExponentialSchedule(first=5, growth=1.5)
        >>> [step for step in range(1, 40) if schedule.due_at_step(step)]
        [5, 7, 11, 16, 25, 37]
    """

    first: int = 1
    growth: float = 1.5

    def __post_init__(self) -> None:
        """Check the range of both parameters."""
        if not (1 <= as_number(self.first) < inf and 1 < as_number(self.growth) < inf):
            raise OptionError(
                f"ExponentialSchedule needs first >= 1 and growth > 1, got {self.first!r} and {self.growth!r}. "
                "Pass finite numbers."
            )

    def due_at_step(self, step: int) -> bool:
        """Whether ``step`` is in the sequence."""
        check_count(step, what="step", least=0)
        due = float(self.first)
        while int(due) < step:
            due *= self.growth
        return int(due) == step

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether to solve at the end of an epoch: never."""
        return False


@dataclass(frozen=True)
class EverySteps:
    """Solve every n steps.

    Example:
        >>> [step for step in range(1, 10) if EverySteps(4).due_at_step(step)]
        [4, 8]
    """

    n: int

    def __post_init__(self) -> None:
        """Check that n is a positive count."""
        check_count(self.n, what="The period of EverySteps")

    def due_at_step(self, step: int) -> bool:
        """Whether ``step`` is a multiple of n."""
        return check_count(step, what="step", least=0) % self.n == 0

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether to solve at the end of an epoch: never."""
        return False


@dataclass(frozen=True)
class EveryEpochs:
    """Solve at the end of every n-th epoch, counted by ``SpaceObjective.end_epoch()``, and after the first step.

    Example:
        >>> [epoch for epoch in range(1, 7) if EveryEpochs(2).due_at_epoch(epoch)]
        [2, 4, 6]
    """

    n: int = 1

    def __post_init__(self) -> None:
        """Check that n is a positive count."""
        check_count(self.n, what="The period of EveryEpochs")

    def due_at_step(self, step: int) -> bool:
        """Whether ``step`` is the first, since there is no guidance before the first solve."""
        return check_count(step, what="step", least=0) == 1

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether ``epoch`` is a multiple of n."""
        return check_count(epoch, what="epoch", least=0) % self.n == 0
