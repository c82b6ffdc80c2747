"""The table and the figure of the study, from its file of results: medians over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

Run = Mapping[str, Any]

HEAD = """| set | recipe | seeds | diverged | error | of unguided | mean R² | over heads | excess | gap | gain | side |
|---|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Row:
    """Medians over the seeds of one recipe on one set."""

    runs: list[Run]

    @property
    def done(self) -> list[Run]:
        """Runs that did not diverge."""
        return [run for run in self.runs if not run["diverged"]]

    @property
    def error(self) -> float:
        """Reconstruction error over the variance."""
        return median(run["nmse"] for run in self.done)

    @property
    def r2(self) -> float:
        """Mean R² over the quantities."""
        return median(mean(run["r2"].values()) for run in self.done)

    def edits(self, which: int) -> float:
        """Mean over the quantities of the gain (0) or the side effect (1)."""
        return median(mean(edit[which] for edit in run["edits"].values()) for run in self.done)


def rows(runs: Iterable[Run]) -> dict[str, dict[str, Row]]:
    """Rows by set and recipe."""
    groups: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        groups[run["set"]][run["label"]].append(run)
    return {name: {label: Row(group) for label, group in recipes.items()} for name, recipes in groups.items()}


def of_heads(recipes: Mapping[str, Row], error: float) -> float | None:
    """Best mean R² of heads at this error, interpolated between their weights; None where all have a larger error."""
    points = [(row.error, row.r2) for label, row in recipes.items() if label.startswith("head") and row.done]
    reached = [r2 for e, r2 in points if e <= error]
    reached += [
        r2 + (other - r2) * (error - e) / (larger - e)
        for e, r2 in points
        for larger, other in points
        if e < error < larger
    ]
    return max(reached, default=None)


def markdown(runs: Iterable[Run]) -> str:
    """One row for each set and recipe."""
    lines = [HEAD]
    for name, recipes in rows(runs).items():
        unguided = recipes.get("none")
        for label, row in recipes.items():
            cells = [name, label, str(len(row.runs)), str(len(row.runs) - len(row.done))]
            if row.done:
                ratio = "" if unguided is None else f"{row.error / unguided.error:.2f}"
                heads = of_heads(recipes, row.error)
                over = "no head has this error" if heads is None else f"{row.r2 - heads:+.3f}"
                cells += [f"{row.error:.4f}", ratio, f"{row.r2:.3f}", over]
                cells += [f"{median(run[score] for run in row.done):+.3f}" for score in ("excess", "gap")]
                cells += [f"{row.edits(0):.2f}", f"{row.edits(1):.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


NAMES = {
    "none": "unguided",
    "head 0.1": "linear head, weight 0.1",
    "head 0.3": "linear head, weight 0.3",
    "isospan": "`SpaceObjective`",
    "orthogonal": "`orthogonal=True`",
}


def summary(runs: Iterable[Run]) -> str:
    """The table of the README: unguided, two heads and the objective."""
    lines = ["| set | recipe | error over unguided | mean R² | excess leakage |", "|---|---|---|---|---|"]
    for name, recipes in rows(runs).items():
        for label, title in NAMES.items():
            row, excess = recipes[label], median(run["excess"] for run in recipes[label].done)
            set_name = name if label == "none" else ""
            ratio = row.error / recipes["none"].error
            lines.append(f"| {set_name} | {title} | {ratio:.2f} | {row.r2:.2f} | {excess:.2f} |")
    return "\n".join(lines)


def draw(runs: Iterable[Run], path: Path) -> None:
    """Draw mean R² over the error of each recipe, a panel a set; the heads are joined."""
    import matplotlib.pyplot as plt

    panels = rows(runs)
    figure, axes = plt.subplots(2, (len(panels) + 1) // 2, figsize=(13, 6), squeeze=False, layout="constrained")
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for ax, (name, recipes) in zip(axes.flat, panels.items(), strict=False):
        heads = sorted((row.error, row.r2) for label, row in recipes.items() if label.startswith("head") and row.done)
        ax.plot(*zip(*heads, strict=True), "o-", color="0.6", label="linear head, weights 0.03 to 3")
        for label, marker in (("none", "k+"), ("kendall", "C1^"), ("isospan", "C0s"), ("orthogonal", "C2D")):
            if label in recipes and recipes[label].done:
                ax.plot(recipes[label].error, recipes[label].r2, marker, label=label)
        ax.set(title=name, xscale="log")
    figure.supxlabel("reconstruction error over the variance")
    figure.supylabel("mean R² of the quantities")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
