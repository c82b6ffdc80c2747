"""The three numbers that matter, and what they say in words."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from isospan.guided._plot_style import number
from isospan.reports.run_summary import RunSummary

NOTICEABLE = 0.005
"""A difference that two digits do not show is none."""


@dataclass(frozen=True)
class Tile:
    """One number of the headline: what it is, its value as text, and what to compare it with."""

    name: str
    value: str
    detail: str


def headline(summary: RunSummary) -> list[Tile]:
    """Return how well quantities are read, what that costs the task, and how much leaks between quantities."""
    return [_reading(summary), _task(summary), _leakage(summary)]


def verdict(summary: RunSummary) -> str:
    """Return the same as two or three plain sentences."""
    guided = summary.guided
    every = "Every quantity is" if len(guided.names) > 1 else "The quantity is"
    sentences = [f"{every} read from its own subspace with R² {_range(guided.own_r2.values())}{_gap(summary)}."]
    if summary.unguided is not None:
        sentences.append(f"Without guidance, that best probe reaches {_range(summary.unguided.ceiling_r2.values())}.")
    change = _nmse_change(summary)
    if np.isfinite(change):
        sentences.append(f"Guidance {_changed(change)} the reconstruction error{_by(change)}.")
    return " ".join(sentences)


def _reading(summary: RunSummary) -> Tile:
    detail = f"best probe of the same size {number(_mean(summary.guided.ceiling_r2.values()))}"
    if summary.unguided is not None:
        detail += f", without guidance {number(_mean(summary.unguided.ceiling_r2.values()))}"
    return Tile("Read from the subspaces, mean R²", number(_mean(summary.guided.own_r2.values())), detail)


def _task(summary: RunSummary) -> Tile:
    change = _nmse_change(summary)
    detail = "error over the variance of the input"
    if np.isfinite(change):
        detail = f"without guidance {number(summary.nmse['unguided'], digits=4)}, {_changed(change)}{_by(change)}"
    return Tile("Reconstruction error, NMSE", number(summary.nmse.get("guided", np.nan), digits=4), detail)


def _leakage(summary: RunSummary) -> Tile:
    excess = summary.guided.excess_leakage.numpy()
    name = "Largest excess leakage, R²"
    if not np.isfinite(excess).any():
        return Tile(name, "–", "a single quantity has no other to leak into")
    i, j = np.unravel_index(np.nanargmax(excess), excess.shape)
    names = summary.guided.names
    return Tile(name, number(excess[i, j]), f"{names[i]}, read from the subspace of {names[j]}")


def _gap(summary: RunSummary) -> str:
    guided = summary.guided
    gap = _nan_max(guided.ceiling_r2[name] - guided.own_r2[name] for name in guided.names)
    best = "the best linear probe of the same size on the whole latent"
    if not np.isfinite(gap):
        return ""
    return f", as well as by {best}" if gap < NOTICEABLE else f", at most {number(gap)} below {best}"


def _nmse_change(summary: RunSummary) -> float:
    """Relative change of the reconstruction error by guidance; NaN where there is nothing to compare."""
    before, after = summary.nmse.get("unguided", np.nan), summary.nmse.get("guided", np.nan)
    return after / before - 1 if before else np.nan


def _changed(change: float) -> str:
    return "did not change" if abs(change) < NOTICEABLE else "raised" if change > 0 else "lowered"


def _by(change: float) -> str:
    return "" if abs(change) < NOTICEABLE else f" by {100 * abs(change):.0f} %"


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _nan_max(values: Iterable[float]) -> float:
    return max((value for value in values if np.isfinite(value)), default=float("nan"))


def _range(values: Iterable[float]) -> str:
    known = [value for value in values if np.isfinite(value)] or [float("nan")]
    low, high = number(min(known)), number(max(known))
    return low if low == high else f"{low} to {high}"
