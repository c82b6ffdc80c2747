"""Figures of an evaluation, of a sweep over sizes, and of a monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from isospan._core.figures import (
    ACCENT,
    GUIDED,
    PAGE,
    QUANTITIES,
    UNGUIDED,
    draw_matrix,
    empty_figure,
    label,
    new_figure,
    note,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

EXCESS_AT_FULL_COLOUR = 0.3
NO_R2 = """R² is not known:
the running moments have too few
samples for this latent dimension.
Train on more samples,
or with a larger memory."""


class Scores(Protocol):
    """The attributes of an :class:`isospan.evaluation.Evaluation` in the figure."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def cross_r2(self) -> Tensor: ...
    @property
    def target_r2(self) -> Tensor: ...
    @property
    def excess_leakage(self) -> Tensor: ...


class Sweep(Protocol):
    """The attributes of an :class:`isospan.sizing.ThresholdSweep` in the figure."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def n_thresholds(self) -> Sequence[float]: ...
    @property
    def k_thresholds(self) -> Sequence[float]: ...
    @property
    def n(self) -> Mapping[str, Sequence[int]]: ...
    @property
    def k(self) -> Mapping[str, Sequence[Sequence[int]]]: ...
    @property
    def D(self) -> Sequence[Sequence[int]]: ...


class Record(Protocol):
    """The attributes of an :class:`isospan.guided.SubspaceMonitor` in the figure."""

    @property
    def names(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...
    def to_dict(self) -> dict[str, Any]:
        """Return the record as lists by name."""
        ...


def plot_cross_decodability(evaluation: Scores) -> Figure:
    """Return three matrices: R² of i from the subspace of j, R² of i from the true j, and the excess leakage."""
    names = evaluation.names
    with style():
        if len(names) < 2:
            return empty_figure("A single quantity has no other to leak into.")
        figure = new_figure(min(3.4 + 2 * len(names), 11), min(2.1 + 0.5 * len(names), 4.5))
        cross, target, excess = figure.subplots(1, 3, sharey=True)
        draw = partial(draw_matrix, rows=names, columns=names, size=8.5 if len(names) <= 5 else 7)
        draw(cross, evaluation.cross_r2.numpy(), negative=UNGUIDED)
        draw(target, _without_diagonal(evaluation.target_r2.numpy()), negative=UNGUIDED)
        draw(excess, evaluation.excess_leakage.numpy(), full=EXCESS_AT_FULL_COLOUR, positive=ACCENT, negative=GUIDED)
        cross.set(title="from the subspace of j", xlabel="quantity j", ylabel="R² of quantity i", aspect="equal")
        target.set(title="from the true j", xlabel="quantity j", aspect="equal")
        excess.set(title="excess leakage", xlabel="quantity j", aspect="equal")
    return figure


def _without_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The diagonal is 1 by definition, and is not drawn."""
    return np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)


def plot_threshold_sweep(sweep: Sweep) -> Figure:
    """Return heat maps over both thresholds: the latent dimension D, and the subspace dimension k of each quantity."""
    columns = _thresholds(sweep.k_thresholds)
    tables = [("latent dimension D", sweep.D, _thresholds(sweep.n_thresholds))]
    tables += [(f"k of {label(name)}", sweep.k[name], [f"n = {n}" for n in sweep.n[name]]) for name in sweep.names]
    with style():
        figure, panels = _panels(len(tables), len(sweep.n_thresholds), len(columns))
        for ax, (title, table, names) in zip(panels, tables, strict=True):
            values = np.array(table, dtype=float)
            texts = {at: f"{value:.0f}" for at, value in np.ndenumerate(values)}
            draw_matrix(ax, values, rows=names, columns=columns, full=max(values.max(), 1), texts=texts, size=8)
            ax.set_title(title)
        panels[0].set_ylabel("threshold of n")
        figure.supxlabel("threshold of k", size=9)
    return figure


def _thresholds(values: Sequence[float]) -> list[str]:
    """Return fractions as text, with as many digits as the longest needs and at least two."""
    digits = max(2, *(len(f"{value:g}") - 2 for value in values))
    return [f"{value:.{digits}f}" for value in values]


def _panels(count: int, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``count`` equal panels, with as many in a row as fit on a page."""
    width, height = 0.64 + max(0.37 * columns, 1.5), 0.6 + 0.25 * rows
    across = min(count, max(1, int(PAGE / width)))
    down = -(-count // across)
    figure = new_figure(across * width, down * height + 0.25)
    axes = list(figure.subplots(down, across, squeeze=False).ravel())
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def plot_drift(monitor: Record) -> Figure:
    """Return three panels over the steps: largest angle to the previous basis, to the first and last one, and R²."""
    with style():
        if not len(monitor):
            return empty_figure(
                "The subspaces were not solved while this was recorded: call update(objective) after each step."
            )
        table, steps = monitor.to_dict(), np.asarray(monitor.to_dict()["step"])
        figure = new_figure(PAGE, 3.0)
        before, ends, scores = figure.subplots(1, 3, sharex=True)
        for i, name in enumerate(monitor.names):
            colour = QUANTITIES[i % len(QUANTITIES)]
            angles = np.array(largest(table["angles"][name]))
            known = np.isfinite(angles)
            before.plot(steps[known], angles[known], marker="o", markersize=3, color=colour, label=label(name))
            ends.plot(steps, largest(table["from_first"][name]), color=colour)
            ends.plot(steps, largest(table["to_last"][name]), color=colour, linestyle=(0, (3, 2)))
            scores.plot(steps, table["r2"][name], color=colour)
        for ax, title in zip((before, ends), ("moved by", "from the first, to the last (dashed)"), strict=True):
            ax.set(title=title, xlabel="step", ylim=(0, 92))
            ax.yaxis.set_major_formatter("{x:g}°")
        scores.set(title="R² on running moments", xlabel="step", ylim=(min(0, scores.get_ylim()[0]), 1.02))
        for ax in (before, ends, scores):
            ax.grid(axis="y")
        if not np.isfinite(list(table["r2"].values())).any():
            note(scores, NO_R2)
        figure.legend(*before.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def largest(rows: list[list[float]]) -> list[float]:
    """Return the largest angle of each row, or NaN for an empty row.

    Example:
        >>> largest([[1.0, 30.0], []])
        [30.0, nan]
    """
    return [max(row, default=float("nan")) for row in rows]
