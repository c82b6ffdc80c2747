"""The style of all figures: palette, type sizes, labels, and matrices of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from isospan._core.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2328"
MUTED = "#66707b"
GRID = "#e3e7eb"
SURFACE = "#fdfdfe"
GUIDED = "#0072b2"
UNGUIDED = "#a3abb4"
ACCENT = "#d55e00"
QUANTITIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7a5cc0")
"""The colours of Okabe and Ito, which colour-blind readers can distinguish, without yellow and black."""

PAGE = 10.0
"""Width of a page, inches."""

MANY, WORD = 4, 12
"""Names of columns are slanted if there are more than MANY, or if a word has more than WORD letters."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelpad": 5,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 3,
    "xtick.major.width": 0.6,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 3,
    "ytick.major.width": 0.6,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the project, and restore the settings of the user."""
    from matplotlib import style as styles

    with styles.context(["default", STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) without a window and without global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def label(name: str, *, longest: int = 22) -> str:
    """Return a name as one line of at most ``longest`` letters, with escaped dollars and without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())
    cut = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    return cut.replace("$", r"\$")


def stacked(name: str, width: int) -> str:
    """Return a name on about three lines of ``width`` letters, broken after words and underscores if possible."""
    parts = re.findall(r"[^_ ]*[_ ]*", label(name, longest=3 * width - 3).replace(r"\$", "$"))
    lines = [""]
    for part in chain.from_iterable(wrap(part, width, drop_whitespace=False) for part in parts):
        lines = (
            [*lines, part]
            if len((lines[-1] + part).rstrip()) > width and lines[-1]
            else [*lines[:-1], lines[-1] + part]
        )
    return "\n".join(line.rstrip() for line in lines).replace("$", r"\$")


def name_rows(ax: Axes, names: Sequence[str], *, xlim: tuple[float, float], xlabel: str) -> None:
    """Name rows of bars or points from top to bottom, and set the axis that they share."""
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=xlim, ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def note(ax: Axes, text: str) -> None:
    """Show a text instead of data, such as the reason why there are none."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=ax.transAxes)


def empty_figure(text: str) -> Figure:
    """Return a figure that shows only a text."""
    figure = new_figure(PAGE, 1)
    note(figure.subplots(), text)
    return figure


def draw_matrix(
    ax: Axes,
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    full: float = 1.0,
    positive: str = GUIDED,
    negative: str = ACCENT,
    texts: Mapping[tuple[int, int], str] | None = None,
    size: float = 8.5,
) -> None:
    """Draw a matrix as cells with their numbers, in one colour for positive and one for negative values.

    The opacity is proportional to the magnitude, so zero has the colour of the background.

    Args:
        ax: where to draw.
        values: (rows, columns); NaN is left empty.
        rows: names from top to bottom.
        columns: names from left to right.
        full: magnitude with full opacity.
        positive: colour of values above zero.
        negative: colour of values below zero.
        texts: text of each cell [i, j]; by default the number with two digits.
        size: type size of the numbers, points.
    """
    ax.pcolormesh(_shades(values, full, positive, negative), edgecolors=SURFACE, linewidth=1.6)
    for (i, j), value in np.ndenumerate(values):
        text = texts[i, j] if texts else number(value)
        colour = "white" if abs(value) > 0.55 * full else INK
        # a text is inside its cell, so the layout need not measure it
        ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", size=size, color=colour, in_layout=False)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    ax.set_yticks(np.arange(len(rows)) + 0.5, [label(name) for name in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _name_columns(ax, columns)


def _shades(values: np.ndarray, full: float, positive: str, negative: str) -> np.ndarray:
    from matplotlib.colors import to_rgb

    strength = np.nan_to_num(np.clip(np.abs(values) / full, 0, 1))
    sides = np.where((np.nan_to_num(values) < 0)[..., None], to_rgb(negative), to_rgb(positive))
    return np.concatenate([sides, strength[..., None]], axis=-1)


def _name_columns(ax: Axes, columns: Sequence[str]) -> None:
    """Write names below the columns: horizontally on up to three lines if they fit, else slanted."""
    level = [stacked(name, WORD) for name in columns]
    fit = len(columns) <= MANY and all(len(line) <= WORD for text in level for line in text.split("\n"))
    texts = level if fit or _short(columns) else [label(name, longest=16) for name in columns]
    ax.set_xticks(np.arange(len(columns)) + 0.5, texts)
    if texts is not level:
        for tick in ax.get_xticklabels():
            tick.set(rotation=40, ha="right", rotation_mode="anchor")


def _short(columns: Sequence[str]) -> bool:
    return max(map(len, columns)) <= 4
