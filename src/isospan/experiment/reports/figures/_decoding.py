"""R² of each quantity from its subspace."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from isospan._core.figures import GUIDED, INK, MUTED, PAGE, UNGUIDED, label, name_rows, new_figure, style
from isospan._core.text import number
from isospan.evaluation import Evaluation

LOWEST = -0.1
"""Left end of the axis. Lower values of R² are drawn here."""


def r2_bars(evaluation: Evaluation, unguided: Evaluation | None = None) -> Figure:
    """Draw R² of each quantity from its subspace and of the best rank-k probe, with and without guidance.

    Args:
        evaluation: of the guided network.
        unguided: of the network trained without guidance; its quantities are matched by name.
    """
    names = evaluation.names
    columns = {
        "subspace": _column(evaluation.subspace_r2, names),
        "rank-k probe": _column(evaluation.rank_k_probe_r2, names),
    }
    if unguided is not None:
        columns["unguided"] = _column(unguided.rank_k_probe_r2, names)
    with style():
        figure = new_figure(PAGE, 1.15 + 0.5 * len(names))
        ax = figure.subplots()
        _draw_bars(ax, columns)
        lowest = LOWEST if any(np.any(values < 0) for values in columns.values()) else 0
        name_rows(ax, [label(name) for name in names], xlim=(lowest, 1), xlabel="R² on held-out data")
        ax.axvline(0, color=MUTED, linewidth=0.6)
        ax.grid(axis="x")
        _write_numbers(ax, columns)
        _add_legend(figure, with_unguided=unguided is not None)
    return figure


def _column(r2: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    return np.array([float(r2.get(name, np.nan)) for name in names])


def _draw_bars(ax: Axes, columns: Mapping[str, np.ndarray]) -> None:
    shown = {heading: np.clip(values, LOWEST, 1) for heading, values in columns.items()}
    rows = np.arange(len(shown["subspace"])) - (0.14 if "unguided" in shown else 0)
    ax.barh(rows, shown["subspace"], height=0.36, color=GUIDED)
    if "unguided" in shown:
        ax.barh(rows + 0.33, shown["unguided"], height=0.22, color=UNGUIDED)
    ax.vlines(shown["rank-k probe"], rows - 0.25, rows + 0.25, color=INK, linewidth=1.8)


def _write_numbers(ax: Axes, columns: Mapping[str, np.ndarray]) -> None:
    for at, (heading, values) in enumerate(columns.items()):
        offset = (36 + 54 * at, 0)
        write = partial(
            ax.annotate, xycoords=ax.get_yaxis_transform(), xytext=offset, textcoords="offset points", ha="center"
        )
        write(heading, (1, -0.62), va="bottom", color=MUTED, fontsize=8.5)
        for row, value in enumerate(values):
            write(number(value), (1, row), va="center", weight="bold" if heading == "subspace" else "normal")


def _add_legend(figure: Figure, *, with_unguided: bool) -> None:
    handles: list[Patch | Line2D] = [
        Patch(color=GUIDED, label="from its subspace"),
        Line2D(
            [], [], color=INK, linestyle="", marker="|", markersize=11, markeredgewidth=1.8, label="best rank-k probe"
        ),
    ]
    if with_unguided:
        handles.append(Patch(color=UNGUIDED, label="best rank-k probe without guidance"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3, handlelength=1.2)
