"""Decoded values are drawn against true ones, with their intervals."""

import numpy as np

from isospan._core.figures import ACCENT, GUIDED
from isospan.experiment.reports.figures import decoded_intervals


def test_each_quantity_has_a_panel_with_its_intervals(summary):
    intervals = summary(3).intervals
    figure = decoded_intervals(intervals)
    panels = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left").split(": ")[1] for ax in panels] == ["0.90 inside"] * 3
    interval = next(iter(intervals.values()))
    shown = {container.lines[0].get_color(): container for container in panels[0].containers}
    assert {colour: len(shown[colour].lines[0].get_xdata()) for colour in (GUIDED, ACCENT)} == {GUIDED: 36, ACCENT: 4}
    points, _, (bars,) = shown[ACCENT].lines
    np.testing.assert_allclose(points.get_xdata(), interval.true[:4, 1])
    np.testing.assert_allclose(points.get_ydata(), interval.decoded[:4, 1])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.stack([interval.low[:4, 1], interval.high[:4, 1]], 1))


def test_without_intervals_the_figure_says_so():
    assert "Too few samples" in decoded_intervals({}).axes[0].texts[0].get_text()
