"""When the subspaces are solved again during training."""

from dataclasses import dataclass
from math import inf
from typing import Protocol, runtime_checkable

from isospan._core.checks import as_number, check_count
from isospan.errors import OptionError


@runtime_checkable
class Schedule(Protocol):
    """Decides, from counters that start at 1, whether to re-solve."""

    def due_at_step(self, step: int) -> bool:
        """Whether to re-solve after this step."""
        ...

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether to re-solve at the end of this epoch."""
        ...


def check_schedule(schedule: Schedule) -> Schedule:
    """Require a schedule, which says when to solve."""
    if isinstance(schedule, type) or not isinstance(schedule, Schedule):
        raise OptionError(
            f"schedule must be a schedule such as ExponentialSchedule(), EverySteps(100) or EveryEpochs(1), got "
            f"{schedule!r}."
        )
    return schedule


@dataclass(frozen=True)
class ExponentialSchedule:
    r"""Often at first, then rarely: at the steps :math:`\lfloor \text{first} \cdot \text{growth}^i \rfloor`.

    Args:
        first: the first step, at least 1.
        growth: ratio of one step to the one before, above 1.

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
        """Whether ``step`` is one of the sequence."""
        check_count(step, what="step", least=0)
        due = float(self.first)
        while int(due) < step:
            due *= self.growth
        return int(due) == step

    def due_at_epoch(self, epoch: int) -> bool:
        """Never: this schedule counts steps."""
        return False


@dataclass(frozen=True)
class EverySteps:
    """Every n steps.

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
        """Never: this schedule counts steps."""
        return False


@dataclass(frozen=True)
class EveryEpochs:
    """At the end of every n-th epoch, counted by ``SpaceObjective.end_epoch()``.

    Example:
        >>> [epoch for epoch in range(1, 7) if EveryEpochs(2).due_at_epoch(epoch)]
        [2, 4, 6]
    """

    n: int = 1

    def __post_init__(self) -> None:
        """Check that n is a positive count."""
        check_count(self.n, what="The period of EveryEpochs")

    def due_at_step(self, step: int) -> bool:
        """Only at the first step: without a solution there is nothing to guide by."""
        return check_count(step, what="step", least=0) == 1

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether ``epoch`` is a multiple of n."""
        return check_count(epoch, what="epoch", least=0) % self.n == 0
