"""Schedules against their definitions."""

import pytest

from isospan.errors import OptionError
from isospan.guided._schedules import EveryEpochs, EverySteps, ExponentialSchedule


@pytest.mark.parametrize(("first", "growth"), [(5, 1.5), (1, 1.01), (3, 2.0), (10, 1.1)])
def test_exponential_is_the_sequence(first, growth):
    expected, due = set(), float(first)
    while due < 500:
        expected.add(int(due))
        due *= growth
    schedule = ExponentialSchedule(first, growth)
    assert {step for step in range(500) if schedule.due_at_step(step)} == expected
    assert not any(schedule.due_at_epoch(epoch) for epoch in range(50))


def test_periodic():
    assert [s for s in range(1, 13) if EverySteps(5).due_at_step(s)] == [5, 10]
    assert [e for e in range(1, 8) if EveryEpochs(3).due_at_epoch(e)] == [3, 6]
    assert EveryEpochs(3).due_at_step(1)
    assert not EverySteps(5).due_at_epoch(5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialSchedule(0), "needs first >= 1 and growth > 1, got 0"),
        (lambda: ExponentialSchedule(5, 1.0), "needs first >= 1 and growth > 1, got 5 and 1.0"),
        (lambda: ExponentialSchedule("2"), "needs first >= 1 and growth > 1, got '2' and 1.5"),
        (lambda: ExponentialSchedule(5, float("inf")), "got 5 and inf"),
        (lambda: EverySteps(0), "period of EverySteps must be at least 1, got 0"),
        (lambda: EveryEpochs(1.5), r"period of EveryEpochs must be a whole number, got 1\.5"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(OptionError, match=message):
        make()
