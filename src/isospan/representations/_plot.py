"""The block-diagonal picture of a decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isospan.representations.isotypic import IsotypicComponent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from isospan.representations.representation import Representation


def plot_decomposition(rep: Representation, ax: Axes | None = None) -> Axes:
    """Draw ρ in the spectral basis: a shaded square a component, a filled square a copy of its irrep."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    for number, component in enumerate(rep.isotypic):
        _draw_component(ax, component, color=f"C{number % 10}")
    ax.set(xlim=(0, rep.size), ylim=(rep.size, 0), aspect="equal", title=f"{rep.name} of {rep.group.name}")
    ax.set(xlabel="spectral coordinate", ylabel="spectral coordinate")
    ax.legend(loc="upper right", frameon=False, fontsize="small")
    return ax


def _draw_component(ax: Axes, component: IsotypicComponent, *, color: str) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    start, d = component.slice.start, component.irrep.size
    label = f"{component.multiplicity} x {component.irrep.name} ({component.irrep.type}, {d})"
    ax.add_patch(Rectangle((start, start), component.size, component.size, color=color, alpha=0.2, lw=0, label=label))
    corners = range(start, component.slice.stop, d)
    ax.add_collection(PatchCollection([Rectangle((c, c), d, d) for c in corners], facecolor=color, edgecolor="white"))
