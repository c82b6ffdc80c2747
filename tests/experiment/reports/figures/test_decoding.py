"""Bars of R²."""

from dataclasses import replace

import numpy as np
import pytest

from isospan.experiment.reports.figures import r2_bars


def _lengths(figure) -> list[float]:
    return [patch.get_width() for patch in figure.axes[0].patches]


def _marks(figure) -> list[float]:
    return [segment[0][0] for segment in figure.axes[0].collections[0].get_segments()]


def test_bars_and_marks_are_at_their_values(evaluation):
    guided, unguided = evaluation(3), evaluation(3, level=0.5, seed=1)
    figure = r2_bars(guided, unguided)
    np.testing.assert_allclose(_lengths(figure), [*guided.subspace_r2.values(), *unguided.rank_k_probe_r2.values()])
    np.testing.assert_allclose(_marks(figure), list(guided.rank_k_probe_r2.values()))


def test_unguided_bars_are_matched_by_name(evaluation):
    guided, unguided = evaluation(2), evaluation(2)
    first, second = guided.names
    swapped = replace(unguided, names=(second, first), rank_k_probe_r2={second: 0.2, first: 0.1})
    assert _lengths(r2_bars(guided, swapped))[2:] == [0.1, 0.2]


def test_every_number_is_written_beside_its_bar(evaluation):
    guided = evaluation(3)
    written = [text.get_text() for text in r2_bars(guided).axes[0].texts]
    assert written[0] == "subspace"
    assert written[1:4] == [f"{value:.2f}" for value in guided.subspace_r2.values()]


def test_a_value_far_below_zero_stays_on_the_axis_and_keeps_its_number(evaluation):
    guided = evaluation(1)
    figure = r2_bars(replace(guided, subspace_r2=dict.fromkeys(guided.names, -7.0)))
    ax = figure.axes[0]
    assert _lengths(figure) == [ax.get_xlim()[0]]
    assert "−7.00" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("with_unguided", [True, False])
def test_any_number_of_quantities_with_unknown_values(evaluation, count, with_unguided):
    figure = r2_bars(evaluation(count, spoilt=True), evaluation(count, spoilt=True) if with_unguided else None)
    figure.draw_without_rendering()
    assert len(figure.axes[0].get_yticklabels()) == count
