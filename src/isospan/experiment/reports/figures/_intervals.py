"""Decoded against true values, with error bars."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isospan._core.figures import ACCENT, GUIDED, MUTED, PAGE, empty_figure, label, new_figure, style
from isospan.experiment._error_bars import Interval

ACROSS, DRAWN = 4, 120
"""Most panels in a row, and most samples in a panel."""


def decoded_intervals(intervals: Mapping[str, Interval]) -> Figure:
    """Draw decoded against true values of held-out samples with their intervals, one panel for each quantity.

    The entry in the middle of a quantity is drawn, of samples at equal distances. Samples outside of their interval are
    drawn in another colour. A heading gives the fraction of all entries of all samples that are inside.
    """
    with style():
        if not intervals:
            return empty_figure("Too few samples were held out to calibrate error bars.")
        across = min(ACROSS, len(intervals))
        down = -(-len(intervals) // across)
        figure = new_figure(PAGE * across / ACROSS, 2.7 * down)
        panels = figure.subplots(down, across, squeeze=False)
        for ax, (name, interval) in zip(panels.flat, intervals.items(), strict=False):
            _draw(ax, interval)
            ax.set_title(f"{label(name)}: {interval.coverage:.2f} inside")
        for ax in panels.flat[len(intervals) :]:
            ax.set_axis_off()
        figure.supxlabel("true value", size=9)
        figure.supylabel("decoded value, and its 90 % interval", size=9)
    return figure


def _draw(ax: Axes, interval: Interval) -> None:
    n, P = interval.true.shape
    rows = np.unique(np.linspace(0, n - 1, min(n, DRAWN)).astype(int))
    true, decoded, low, high, inside = (values[:, P // 2].numpy()[rows] for values in (*interval, interval.inside))
    ends = [min(low.min(), true.min()), max(high.max(), true.max())]
    ax.plot(ends, ends, color=MUTED, linewidth=0.8, zorder=1)
    for some, colour in ((inside, GUIDED), (~inside, ACCENT)):
        bars = [decoded[some] - low[some], high[some] - decoded[some]]
        ax.errorbar(true[some], decoded[some], yerr=bars, fmt="o", color=colour, markersize=2.2, elinewidth=0.6)
