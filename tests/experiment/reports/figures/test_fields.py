"""Fields as images."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from isospan.experiment.reports.figures import decoded_fields, edit_panel, reconstructions
from isospan.experiment.reports.figures._images import DIVERGING, SEQUENTIAL, shared_scale, to_array

NAME = "stream function"
SHAPES = [(6, 6), (4, 9), (1, 8), (8, 1), (1, 1)]


def _images(figure) -> list:
    return [image for ax in figure.axes for image in ax.get_images()]


def test_true_and_decoded_alternate_and_a_row_shares_its_scale(pairs):
    shown = pairs(3)
    images = _images(decoded_fields(shown))
    for row, pair in enumerate(shown.values()):
        own = images[8 * row : 8 * row + 8]
        np.testing.assert_array_equal(own[2].get_array(), pair[0][1])
        np.testing.assert_array_equal(own[3].get_array(), pair[1][1])
        assert len({(image.norm.vmin, image.norm.vmax, image.cmap.name) for image in own}) == 1


def test_quantities_of_different_size_have_scales_of_their_own(pairs):
    images = _images(decoded_fields(pairs(3)))
    assert images[0].norm.vmax < images[16].norm.vmax


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 8])
def test_any_shape_and_number_of_quantities_with_unknown_cells(pairs, shape, count):
    figure = decoded_fields(pairs(count, shape=shape, samples=2, spoilt=True))
    figure.draw_without_rendering()
    assert len(_images(figure)) == 4 * count


def test_images_keep_their_proportions(pairs):
    figure = decoded_fields(pairs(1, shape=(4, 9)))
    box = figure.axes[0].get_window_extent()
    assert box.height / box.width == pytest.approx(4 / 9)


def test_quantities_may_come_with_different_shapes_and_numbers_of_samples():
    figure = decoded_fields(
        {"a": (np.ones((2, 3, 3)), np.ones((2, 3, 3))), "b": (np.ones((1, 1, 5)), np.ones((1, 1, 5)))}
    )
    figure.draw_without_rendering()
    assert len(_images(figure)) == 6


def test_a_lone_number_is_written_into_its_cell():
    figure = decoded_fields({"a": (np.full((1, 1, 1), -2.5), np.full((1, 1, 1), np.nan))})
    assert [ax.texts[0].get_text() for ax in figure.axes[:2]] == ["−2.5", "–"]


def test_nothing_to_show_gives_a_sentence():
    for pairs in ({}, {"a": (np.ones((0, 2, 2)), np.ones((0, 2, 2)))}):
        assert decoded_fields(pairs).axes[0].texts[0].get_text() == "No fields were decoded."
    nothing = dict.fromkeys(["input", "guided"], np.ones((0, 4, 4)))
    assert reconstructions(nothing).axes[0].texts[0].get_text() == "No samples were reconstructed."


@pytest.mark.parametrize(
    ("values", "cmap", "limits"),
    [
        ([-1.0, 3.0], DIVERGING, (-3, 3)),
        ([-3.0, 1.0], DIVERGING, (-3, 3)),
        ([-0.1, 3.0], SEQUENTIAL, (-0.1, 3)),
        ([2.0, 3.0, np.nan, np.inf], SEQUENTIAL, (2, 3)),
        ([2.0, 2.0], SEQUENTIAL, (2, 4)),
        ([0.0], SEQUENTIAL, (0, 1)),
        ([np.nan], SEQUENTIAL, (0, 1)),
        ([], SEQUENTIAL, (0, 1)),
    ],
)
def test_a_scale_is_symmetric_where_both_signs_count(values, cmap, limits):
    name, norm = shared_scale(np.array(values))
    assert (name, (norm.vmin, norm.vmax)) == (cmap, limits)


def test_differences_are_always_symmetric():
    _, norm = shared_scale(np.array([0.0, 2.0]), signed=True)
    assert (norm.vmin, norm.vmax) == (-2, 2)
    _, norm = shared_scale(np.zeros(3), signed=True)
    assert (norm.vmin, norm.vmax) == (-1, 1)


def test_reconstructions_show_inputs_outputs_and_errors(images):
    shown = images(samples=3)
    drawn = _images(reconstructions(shown))
    fields = np.stack([image.get_array() for image in drawn]).reshape(5, 3, 64, 64)
    inputs, guided, unguided = (shown[name][:, 0].numpy() for name in ("input", "guided", "unguided"))
    for row, expected in zip(fields, (inputs, guided, unguided, guided - inputs, unguided - inputs), strict=True):
        np.testing.assert_array_equal(row, expected)
    scales = [(image.norm.vmin, image.norm.vmax) for image in drawn]
    assert len(set(scales[:9])) == 1
    assert len(set(scales[9:])) == 1


@pytest.mark.parametrize("shape", [(64, 64), (37, 49), (1, 16)])
@pytest.mark.parametrize("samples", [1, 9])
@pytest.mark.parametrize("unguided", [True, False])
def test_reconstructions_of_any_shape(images, shape, samples, unguided):
    reconstructions(images(shape=shape, samples=samples, unguided=unguided)).draw_without_rendering()


def test_the_first_of_several_channels_is_shown():
    x = torch.stack([torch.zeros(2, 4, 4), torch.ones(2, 4, 4)], 1)
    assert all((image.get_array() == 0).all() for image in _images(reconstructions({"input": x, "guided": x})))


def test_an_edit_shows_six_images_and_the_difference(edit):
    example = edit()
    drawn = [image.get_array() for image in _images(edit_panel(example, NAME))]
    readings = [example.read_before, example.targets, example.read_after]
    expected = [example.before, example.after, example.after - example.before, *(y[NAME] for y in readings)]
    assert len(drawn) == 6
    for image, array in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(image, array[0, 0])


@pytest.mark.parametrize("pooled", SHAPES)
def test_edits_of_any_shape(edit, pooled):
    edit_panel(edit(shape=(37, 49), pooled=pooled), NAME).draw_without_rendering()


def test_no_scale_writes_its_power_of_ten_into_the_row_above():
    tiny = np.linspace(-2e-5, 2e-5, 72).reshape(2, 6, 6)
    figure = decoded_fields({name: (tiny, tiny) for name in "abc"})
    figure.draw_without_rendering()
    bars = [ax for ax in figure.axes if not ax.get_images()]
    assert [ax.texts[0].get_text() for ax in bars] == [r"$\times\,10^{-5}$"] * 3
    for upper, lower in pairwise(bars):
        lowest = min(tick.get_window_extent().y0 for tick in upper.get_yticklabels())
        assert lower.texts[0].get_window_extent().y1 <= lowest


def test_an_edit_shows_the_quantity_of_the_fields_in_a_further_row(edit):
    example = edit()
    target = example.targets[NAME]
    example = replace(example, computed_before={NAME: 0.3 * target}, computed_after={NAME: 0.7 * target})
    drawn = [image.get_array() for image in _images(edit_panel(example, NAME))]
    assert len(drawn) == 9
    for image, array in zip(drawn[6:], (0.3 * target, target, 0.7 * target), strict=True):
        np.testing.assert_array_equal(image, array[0, 0])


@pytest.mark.parametrize(
    "values", [torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16), np.ones(2, dtype=np.float32)]
)
def test_arrays_and_tensors_of_any_kind_become_float64(values):
    array = to_array(values)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [1.0, 1.0])
