"""The subspace dimensions of the quantities within the latent space."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from isospan.plotting._style import INK, PAGE, QUANTITIES, SURFACE, UNGUIDED, label, new_figure, style

LEGEND_COLUMNS = 5
NARROW = 0.025
"""Narrower fractions of the bar have no label."""


def latent_layout(dims: Mapping[str, tuple[int | None, int]], latent_dim: int) -> Figure:
    """Draw the latent space as a bar of length D, with the k of each quantity and the free rest.

    If the k sum to more than D, the subspaces overlap, and the bar extends beyond the mark at D.
    """
    bars = [(label(name), k, QUANTITIES[i % len(QUANTITIES)]) for i, (name, (_, k)) in enumerate(dims.items())]
    free = latent_dim - sum(k for _, k, _ in bars)
    if free > 0:
        bars.append(("free", free, UNGUIDED))
    with style():
        figure = new_figure(PAGE, 1.35 + 0.22 * ((len(bars) - 1) // LEGEND_COLUMNS))
        ax = figure.subplots()
        _draw_bars(ax, [k for _, k, _ in bars], [colour for _, _, colour in bars])
        ax.vlines(latent_dim, -0.5, 0.5, color=INK, linewidth=2.5)
        ax.set(
            xlim=(0, 1.003 * max(latent_dim, sum(k for _, k, _ in bars))),
            ylim=(-0.5, 0.5),
            yticks=[],
            xlabel=f"dimensions of the latent space, D = {latent_dim}",
        )
        ax.spines["left"].set_visible(False)
        handles = [Patch(color=colour, label=name) for name, _, colour in bars]
        figure.legend(handles=handles, loc="outside lower left", ncols=LEGEND_COLUMNS, handlelength=1.2)
    return figure


def _draw_bars(ax: Axes, widths: Sequence[int], colours: Sequence[str]) -> None:
    ends = np.cumsum(widths)
    for width, end, colour in zip(widths, ends, colours, strict=True):
        ax.barh(0, width, left=end - width, height=0.8, color=colour, edgecolor=SURFACE, linewidth=1.2)
        if width > NARROW * ends[-1]:
            ax.text(end - width / 2, 0, str(width), ha="center", va="center", color="white", weight="bold")
