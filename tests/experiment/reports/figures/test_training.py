"""Curves of the losses."""

import numpy as np
import pytest

from isospan.experiment.reports.figures import loss_curves
from isospan.experiment.reports.figures._training import BAND_RANGES, moving_average
from isospan.experiment.training import History


@pytest.mark.parametrize("width", [1, 2, 7, 100])
def test_the_moving_average_is_the_mean_of_the_last_values(width):
    values = np.random.default_rng(0).normal(size=30)
    naive = [values[max(0, i - width + 1) : i + 1].mean() for i in range(30)]
    # Differences of cumulative sums of thirty numbers of order one: rounding only.
    np.testing.assert_allclose(moving_average(values, width), naive, atol=1e-13)


def test_a_short_curve_is_drawn_as_it_is_and_gaps_are_bridged():
    history = History(steps=[1, 2, 3, 4], losses={"task": [4.0, float("nan"), 2.0, 1.0]})
    line = loss_curves(history).axes[0].get_lines()[0]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 4], [3, 2], [4, 1]])


def test_solves_are_marked_in_every_panel(history):
    run = history()
    for ax in loss_curves(run).axes[:3]:
        np.testing.assert_array_equal(ax.get_lines()[-1].get_xdata(), run.solve_steps)


def test_the_band_reaches_from_the_least_to_the_greatest_value_and_does_not_grow_with_the_run(history):
    for steps in (300, 5000):
        run = history(steps=steps)
        band = loss_curves(run).axes[0].collections[0].get_paths()[0].vertices
        assert len(band) <= 2 * BAND_RANGES + 3
        assert band[:, 1].min() == min(run.losses["task"])
        assert band[:, 1].max() == max(run.losses["task"])


def test_each_term_has_a_panel_and_validation_shares_it():
    history = History(
        steps=[1, 2], losses={"task": [1.0, 0.5]}, validation_steps=[2], validation={"task": [0.6], "R² of $x$": [0.9]}
    )
    panels = [ax for ax in loss_curves(history).axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == ["task", r"R² of \$x\$"]
    np.testing.assert_array_equal(panels[0].get_lines()[1].get_xydata(), [[2, 0.6]])


@pytest.mark.parametrize(("values", "scale"), [([1.0, 0.1], "log"), ([1.0, -0.1], "linear"), ([1.0, 0.9], "linear")])
def test_a_term_that_falls_by_much_and_stays_positive_is_logarithmic(values, scale):
    assert loss_curves(History(steps=[1, 2], losses={"task": values})).axes[0].get_yscale() == scale


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_any_number_of_terms(count):
    terms = {f"term {i}": [1.0, 0.5, float("nan")] for i in range(count)}
    history = History(steps=[1, 2, 3], losses=terms, solve_steps=[2])
    loss_curves(history, history).draw_without_rendering()


@pytest.mark.parametrize("name", ["a", "W" * 99])
def test_no_solves_and_the_widest_names_leave_room_for_the_panels(name):
    figure = loss_curves(History(steps=[1], losses={f"{i}{name}": [1.0] for i in range(3)}))
    figure.draw_without_rendering()
    assert all(ax.get_position().width > 0.2 for ax in figure.axes[:3])


def test_terms_without_any_number_are_empty_panels():
    history = History(steps=[1, 2], losses={"task": [float("nan")] * 2})
    loss_curves(history, History(steps=[], losses={})).draw_without_rendering()


def test_scores_are_on_a_linear_axis():
    history = History(steps=[1], losses={}, validation_steps=[1, 2], validation={"r2 a": [0.01, 0.9]})
    assert loss_curves(history).axes[0].get_yscale() == "linear"
