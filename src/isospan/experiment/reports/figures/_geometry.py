"""Angles between the subspaces, and the variance of the latent in each."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from isospan._core.figures import (
    ACCENT,
    GRID,
    GUIDED,
    INK,
    MUTED,
    PAGE,
    QUANTITIES,
    UNGUIDED,
    label,
    name_rows,
    new_figure,
    note,
    style,
)
from isospan._core.text import number
from isospan.evaluation import Evaluation
from isospan.experiment.reports.figures._images import to_array

IDLE = 1e-3
"""Lowest value of the spectrum that is shown, relative to the mean."""


def principal_angles(evaluation: Evaluation) -> Figure:
    """Draw every principal angle between each pair of subspaces, from 0° (shared direction) to 90° (orthogonal)."""
    pairs = {pair: np.sort(to_array(angles)) for pair, angles in evaluation.angles.items()}
    with style():
        figure = new_figure(PAGE, 1.0 + max(0.34 * len(pairs), 0.5))
        ax = figure.subplots()
        if not pairs:
            note(ax, "There are no angles: there is a single quantity.")
        else:
            _draw_angles(ax, pairs)
    return figure


def variance_shares(evaluation: Evaluation, expected: Mapping[str, float] | None = None) -> Figure:
    """Draw the explained variance of the latent by each subspace, and the rest outside all of them.

    Args:
        evaluation: of the guided network.
        expected: the values k/D of an isotropic latent, drawn as marks.
    """
    shares = evaluation.variance_share
    with style():
        figure = new_figure(PAGE, 1.0 + 0.36 * len(shares))
        ax = figure.subplots()
        _draw_shares(ax, shares)
        _mark_expected(ax, list(shares), expected or {})
    return figure


def isotropy_spectrum(evaluation: Evaluation, unguided: Evaluation | None = None) -> Figure:
    """Draw the standard deviations along the principal axes of the free part, relative to their mean."""
    curves = [("guided", evaluation, GUIDED)] + ([("unguided", unguided, UNGUIDED)] if unguided is not None else [])
    with style():
        figure = new_figure(PAGE, 3.0)
        ax = figure.subplots()
        drawn = [
            _draw_spectrum(ax, to_array(result.spectrum), name, colour) for name, result, colour in reversed(curves)
        ]
        if not any(drawn):
            note(ax, "The subspaces span the latent space: there is no free part.")
            return figure
        ax.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        _plain_log_axis(ax)
        ax.set(xlabel="principal axis of the free part", ylabel="standard deviation\nover the mean")
        ax.grid(axis="y")
        if len(curves) > 1:
            ax.legend(reverse=True)
    return figure


def _draw_angles(ax: Axes, pairs: Mapping[tuple[str, str], np.ndarray]) -> None:
    for row, angles in enumerate(pairs.values()):
        ax.hlines(row, 0, 90, color=GRID, linewidth=0.8, zorder=0)
        ax.plot(
            angles[1:], np.full(len(angles) - 1, row), "o", color=GUIDED, markersize=5.5, alpha=0.6, markeredgewidth=0
        )
        ax.plot(angles[:1], [row], "o", color=ACCENT, markersize=6.5, markeredgewidth=0)
        smallest = angles[0] if len(angles) else np.nan
        ax.text(1.02, row, f"{number(smallest, digits=0)}°", va="center", transform=ax.get_yaxis_transform())
    ax.text(1.02, -0.75, "least", va="bottom", color=MUTED, fontsize=8.5, transform=ax.get_yaxis_transform())
    names = [f"{label(a, longest=16)} – {label(b, longest=16)}" for a, b in pairs]
    name_rows(ax, names, xlim=(-1.5, 91.5), xlabel="principal angle")
    ax.set_xticks(range(0, 91, 15), [f"{angle}°" for angle in range(0, 91, 15)])


def _draw_shares(ax: Axes, shares: Mapping[str, float]) -> None:
    values = np.array([float(share) for share in shares.values()])
    colours = [UNGUIDED if name == "free" else QUANTITIES[i % len(QUANTITIES)] for i, name in enumerate(shares)]
    rows = np.arange(len(values))
    ax.barh(rows, np.nan_to_num(values), height=0.56, color=colours)
    for row, value in enumerate(values):
        text = f"{number(100 * value, digits=1)} %" if np.isfinite(value) else number(value)
        ax.text(1.02, row, text, va="center", transform=ax.get_yaxis_transform())
    top = max(np.nanmax(np.append(values, 0)) * 1.08, 0.1)
    name_rows(ax, [label(name) for name in shares], xlim=(0, top), xlabel="explained variance of the latent")
    ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
    ax.grid(axis="x")


def _mark_expected(ax: Axes, names: list[str], expected: Mapping[str, float]) -> None:
    for row, name in enumerate(names):
        if name in expected:
            ax.vlines(expected[name], row - 0.36, row + 0.36, color=INK, linewidth=1.8)
    if expected:
        ax.set_xlim(0, max(ax.get_xlim()[1], 1.08 * max(expected.values())))


def _draw_spectrum(ax: Axes, spectrum: np.ndarray, name: str, colour: str) -> bool:
    """Draw one spectrum. Return whether any value is positive."""
    if not np.any(spectrum > 0):
        return False
    relative = spectrum / np.nanmean(spectrum)
    axis = np.arange(1, len(spectrum) + 1)
    positive = relative > 0
    ax.plot(axis[positive], relative[positive], marker="o", markersize=3.5, color=colour, label=name)
    return True


def _plain_log_axis(ax: Axes) -> None:
    """Set a logarithmic axis down to IDLE, with plain numbers as labels, on a short axis also at 2 and 5."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, IDLE), high)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * max(low, IDLE) else (1,)))
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
