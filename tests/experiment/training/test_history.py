"""Curves always have one value a step, and fit into a checkpoint however long they are."""

import math

import pytest

from isospan._core.trees import save_tree
from isospan.experiment.training._history import History


def test_a_loss_that_comes_or_goes_leaves_gaps():
    history = History()
    for step, losses in enumerate([{"task": 1.0}, {"task": 0.5, "guidance": 2.0}, {"guidance": 1.0}], start=1):
        history.add(step, losses)
    assert history.steps == [1, 2, 3]
    assert history.losses["task"][:2] == [1.0, 0.5]
    assert history.losses["guidance"][1:] == [2.0, 1.0]
    assert math.isnan(history.losses["task"][2])
    assert math.isnan(history.losses["guidance"][0])


def test_a_history_comes_back_from_its_state_dict():
    history = History()
    history.add(1, {"task": 1.0})
    history.add_validation(1, {"r2 a": 0.5})
    history.solve_steps.append(1)
    history.seconds = 2.0
    assert History.from_state_dict(history.state_dict()) == history


@pytest.mark.parametrize("steps", [10, 100_000])
def test_the_header_of_a_file_which_is_limited_does_not_grow_with_the_steps(tmp_path, steps):
    history = History(steps=list(range(steps)), losses={"task": [0.1] * steps}, solve_steps=list(range(steps)))
    save_tree(tmp_path / "history", history.state_dict(), kind="history")
    with (tmp_path / "history").open("rb") as file:
        assert int.from_bytes(file.read(8), "little") < 2000  # safetensors reads headers up to 100 MB
