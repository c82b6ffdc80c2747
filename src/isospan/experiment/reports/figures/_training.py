"""Losses over the steps of training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isospan._core.figures import ACCENT, GUIDED, INK, PAGE, SURFACE, UNGUIDED, label, new_figure, note, style
from isospan.experiment.training import History

COLUMNS = 3
SMOOTHED_POINTS = 60
"""Curves with more points are drawn as a band with a moving average."""
BAND_RANGES = 200
SCORES = "r2 "
"""Prefix of the names of scores, which have a linear axis."""


def loss_curves(history: History, unguided: History | None = None) -> Figure:
    """Draw one panel for each loss: the range of its values, their moving average, held-out values and the solves.

    Args:
        history: losses of the guided network.
        unguided: losses of the network trained without guidance; drawn where it has the same term.
    """
    names = list(dict.fromkeys([*history.losses, *history.validation]))
    with style():
        rows = max(1, -(-len(names) // COLUMNS))
        figure = new_figure(PAGE, 0.5 + 2.15 * rows)
        panels = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).ravel()
        for ax, name in zip(panels, names, strict=False):
            if unguided is not None:
                _draw_term(ax, unguided, name, colour=UNGUIDED)
            _draw_term(ax, history, name, colour=GUIDED)
            _finish(ax, name, history)
        for ax in panels[len(names) :]:
            ax.set_axis_off()
        if not names:
            note(panels[0], "No losses were logged.")
        else:
            _add_legend(figure, history, unguided)
    return figure


def moving_average(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of the last ``width`` values at each point; of fewer at the start.

    Example:
        >>> moving_average(np.array([1.0, 3.0, 5.0]), 2)
        array([1., 2., 4.])
    """
    totals = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    return (totals[end] - totals[start]) / (end - start)


def _draw_term(ax: Axes, history: History, name: str, *, colour: str) -> None:
    steps, values = _finite(history.steps, history.losses.get(name))
    if len(values) > SMOOTHED_POINTS:
        _draw_band(ax, steps, values, colour)
        values = moving_average(values, max(len(values) // 40, 2))
    ax.plot(steps, values, color=colour, linewidth=1.5)
    steps, values = _finite(history.validation_steps, history.validation.get(name))
    ax.plot(steps, values, "o", color=colour, markersize=4, markerfacecolor=SURFACE, markeredgewidth=1.2)


def _draw_band(ax: Axes, steps: np.ndarray, values: np.ndarray, colour: str) -> None:
    """Fill between the smallest and largest value of each range of steps. The number of ranges is at most 200."""
    edges = np.unique(np.linspace(0, len(values), BAND_RANGES + 1).astype(int))[:-1]
    low, high = (extreme.reduceat(values, edges) for extreme in (np.minimum, np.maximum))
    ax.fill_between(steps[edges], low, high, color=colour, alpha=0.25, linewidth=0)


def _finite(steps: Sequence[int], values: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a curve with finite values."""
    array = np.asarray(() if values is None else values, dtype=float)
    at = np.asarray(steps, dtype=float)[: len(array)]
    finite = np.isfinite(array)
    return at[finite], array[finite]


def _finish(ax: Axes, name: str, history: History) -> None:
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.get_lines()])
    if not name.startswith(SCORES) and len(drawn) and drawn.min() > 0 and drawn.max() > 3 * drawn.min():
        ax.set_yscale("log")
    ax.set(title=label(name, longest=32), xlabel="step")
    ax.grid(axis="y")
    solves = history.solve_steps
    if len(solves):
        on_the_axis = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        ax.plot(solves, np.zeros(len(solves)), "|", color=ACCENT, markersize=8, markeredgewidth=1.1, **on_the_axis)


def _add_legend(figure: Figure, history: History, unguided: History | None) -> None:
    handles = [Line2D([], [], color=GUIDED, label="guided")]
    if unguided is not None:
        handles.append(Line2D([], [], color=UNGUIDED, label="unguided"))
    if history.validation:
        handles.append(
            Line2D([], [], color=INK, linestyle="", marker="o", markersize=4, markerfacecolor=SURFACE, label="held out")
        )
    if len(history.solve_steps):
        handles.append(Line2D([], [], color=ACCENT, linestyle="", marker="|", markersize=8, label="subspaces solved"))
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
