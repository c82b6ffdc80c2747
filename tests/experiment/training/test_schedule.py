"""The learning rate against its three parts."""

from itertools import pairwise

import pytest

from isospan.experiment.training import learning_rate


def test_it_rises_linearly_then_falls_to_a_hundredth():
    rates = [learning_rate(step, 200, lr=2.0) for step in range(1, 201)]
    assert max(rates) == rates[9]
    assert rates[9] == pytest.approx(2.0, rel=0.01)  # the cosine has begun to fall
    assert rates[-1] == pytest.approx(0.02, rel=1e-9)
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert [rates[i] / rates[9] for i in (0, 4)] == pytest.approx([0.1, 0.5], rel=0.01)


def test_a_run_shorter_than_the_warm_up_still_trains():
    assert all(0 < learning_rate(step, 3, lr=1.0) <= 0.3 for step in (1, 2, 3))
