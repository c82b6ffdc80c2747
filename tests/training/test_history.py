"""Curves always have one value a step."""

import math

from isospan.training.history import History


def test_a_loss_that_comes_or_goes_leaves_gaps():
    history = History()
    for step, losses in enumerate([{"task": 1.0}, {"task": 0.5, "guidance": 2.0}, {"guidance": 1.0}], start=1):
        history.add(step, losses)
    assert history.steps == [1, 2, 3]
    assert history.losses["task"][:2] == [1.0, 0.5]
    assert history.losses["guidance"][1:] == [2.0, 1.0]
    assert math.isnan(history.losses["task"][2])
    assert math.isnan(history.losses["guidance"][0])


def test_a_history_comes_back_from_its_dict():
    history = History()
    history.add(1, {"task": 1.0})
    history.add_validation(1, {"r2 a": 0.5})
    history.resolve_steps.append(1)
    history.seconds = 2.0
    assert History.from_dict(history.to_dict()) == history
