"""The figure of the study: errors over samples on logarithmic axes, medians and ranges over seeds."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from benchmarks.learning_curves.learners import LEARNERS
from benchmarks.learning_curves.table import Curves
from isospan._core.figures import ACCENT, GRID, GUIDED, MUTED, new_figure, style

LOOK = {
    "emlp": {"color": GUIDED, "marker": "o"},
    "emlp-large": {"color": "#56b4e9", "marker": "s"},
    "mlp": {"color": MUTED, "marker": "^"},
    "mlp-augmented": {"color": ACCENT, "marker": "v"},
}


def draw(curves: Curves, titles: Mapping[str, str]) -> Figure:
    """One panel for each problem."""
    with style():
        figure = new_figure(4.6 * len(curves.problems), 3.8)
        panels = figure.subplots(1, len(curves.problems), squeeze=False)[0]
        for ax, problem in zip(panels, curves.problems, strict=True):
            for learner in curves.learners(problem):
                _draw_curve(ax, curves, problem, learner)
            ax.set(xscale="log", yscale="log", xlabel="samples", title=titles[problem])
            ax.grid(which="both", color=GRID)
            _plain_ticks(ax, sorted({n for name, curve in curves.errors.items() if name[0] == problem for n in curve}))
        panels[0].set_ylabel("test error / variance")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_curve(ax, curves: Curves, problem: str, learner: str) -> None:
    errors = curves.errors[problem, learner]
    ax.plot(
        *zip(*curves.medians(problem, learner).items(), strict=True), label=LEARNERS[learner], ms=4, **LOOK[learner]
    )
    low, high = zip(*((min(e), max(e)) for e in errors.values()), strict=True)
    ax.fill_between(list(errors), low, high, color=LOOK[learner]["color"], alpha=0.15, linewidth=0)


def _plain_ticks(ax, sizes: list[int]) -> None:
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.set_xticks([], minor=True)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(lambda y, _: f"{y:g}" if f"{y:e}"[0] in "25" else "")
