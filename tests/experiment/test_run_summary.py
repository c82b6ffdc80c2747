"""What a report shows is checked when it is put together, not when it is drawn."""

import numpy as np
import pytest
import torch

from isospan.errors import ShapeError
from isospan.experiment._run_summary import duration, to_array
from isospan.experiment.reports import EditExample, FieldPair, LossHistory, Reconstructions


@pytest.mark.parametrize(
    "values", [torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16), np.ones(2, dtype=np.float32)]
)
def test_arrays_and_tensors_of_any_kind_become_float64(values):
    array = to_array(values)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [1.0, 1.0])


def test_a_loss_term_needs_one_value_for_each_step():
    with pytest.raises(ShapeError, match=r"'task' must have one value for each of the 2 logged steps, got 3\. Log NaN"):
        LossHistory(step=[1, 2], terms={"task": [1.0, 2.0, 3.0]})


def test_a_validation_term_needs_one_value_for_each_of_its_own_steps():
    with pytest.raises(ShapeError, match=r"'task' must have one value for each of the 1 logged steps, got 2"):
        LossHistory(step=[1, 2], terms={}, validation_step=[2], validation={"task": [1.0, 2.0]})


@pytest.mark.parametrize(("true", "decoded"), [((2, 3, 4), (2, 4, 3)), ((3, 4), (3, 4))])
def test_true_and_decoded_fields_have_one_shape(true, decoded):
    with pytest.raises(ShapeError, match=r"must both have shape \(n, h, w\), got .* Use a height of 1 for profiles"):
        FieldPair(torch.zeros(true), torch.zeros(decoded))


def test_an_edit_needs_images_of_one_shape():
    good = dict(
        before=np.zeros((4, 5)), after=np.zeros((4, 5)), target=np.zeros((2, 2)), decoded_before=np.zeros((2, 2))
    )
    with pytest.raises(ShapeError, match=r"edit of 'heat' needs target, decoded_before, decoded_after as images"):
        EditExample("heat", **good, decoded_after=np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"needs before, after as images of one shape .* Select one sample"):
        EditExample("heat", **good | {"before": np.zeros((1, 4, 5))}, decoded_after=np.zeros((2, 2)))


def test_reconstructions_need_the_shape_of_the_inputs():
    with pytest.raises(ShapeError, match=r"unguided reconstructions must have the inputs' shape \(2, 1, 4, 4\)"):
        Reconstructions(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))
    with pytest.raises(ShapeError, match=r"\(n, H, W\) or \(n, C, H, W\), got \(4, 4\)"):
        Reconstructions(torch.zeros(4, 4), torch.zeros(4, 4))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0 s"), (59.6, "1 min 00 s"), (253.4, "4 min 13 s"), (7261, "2 h 01 min"), (float("nan"), "–")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
