"""The report cards: the main numbers of a run; and what failed, in words."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from isospan._core.text import number
from isospan.experiment._run_summary import RunSummary

UNREAD = 0.05
"""A quantity with a lower R² counts as not readable."""
NOTICEABLE = 0.005
"""Smaller differences round to 0.00 and count as none."""


@dataclass(frozen=True)
class Card:
    """One number of the report: its name, its value as text, and a comparison."""

    name: str
    value: str
    detail: str


def report_cards(summary: RunSummary) -> list[Card]:
    """Return the cards of reading, editing and reconstruction, as far as they were measured, and of leakage."""
    editing = [_editing(summary)] if "guided" in summary.edit_scores else []
    task = [_task(summary)] if summary.nmse else []
    return [_reading(summary), *editing, *task, _leakage(summary)]


def failures(summary: RunSummary) -> list[str]:
    """Return sentences on quantities that are not readable, a failed reconstruction, and a latent that is not used."""
    sentences, unread, nmse = [], _unread(summary), summary.nmse.get("guided", np.nan)
    if unread:
        r2 = _range(summary.guided.subspace_r2[name] for name in unread)
        sentences.append(
            f"Not readable from the latent: {', '.join(unread)}, with R² {r2}, where 0 is no better than the mean."
        )
    if nmse >= 1:
        sentences.append(
            f"The reconstruction failed: its error is {_nmse(nmse)} of the variance, no better than the mean field."
        )
    elif summary.use is not None and summary.use.note:
        sentences.append(summary.use.note)
    return sentences


def _unread(summary: RunSummary) -> list[str]:
    return [name for name in summary.guided.names if summary.guided.subspace_r2[name] < UNREAD]


def _nmse(value: float) -> str:
    return number(value, digits=4) if not value >= 1000 else f"{value:.2g}"


def _reading(summary: RunSummary) -> Card:
    detail = f"best rank-k probe {number(_mean(summary.guided.rank_k_probe_r2.values()))}"
    if summary.unguided is not None:
        detail += f", without guidance {number(_mean(summary.unguided.rank_k_probe_r2.values()))}"
    return Card("Read from the subspaces, mean R²", number(_mean(summary.guided.subspace_r2.values())), detail)


def _editing(summary: RunSummary) -> Card:
    edits = summary.edit_scores["guided"]
    detail = f"through the decoder; by one matrix product {number(_mean(edits.linear_r2.values()))}"
    if "unguided" in summary.edit_scores:
        detail += f", without guidance {number(_mean(summary.edit_scores['unguided'].decoded_r2.values()))}"
    return Card("Edits shown by the decoded fields, mean R²", number(_mean(edits.decoded_r2.values())), detail)


def _task(summary: RunSummary) -> Card:
    before, after = summary.nmse.get("unguided", np.nan), summary.nmse.get("guided", np.nan)
    change = after / before - 1 if before else np.nan
    detail = "error over the variance of the input"
    if np.isfinite(change):
        detail = f"without guidance {_nmse(before)}, {_change(change)}"
    return Card("Reconstruction error, NMSE", _nmse(after), detail)


def _leakage(summary: RunSummary) -> Card:
    excess = summary.guided.excess_leakage.numpy()
    name = "Largest excess leakage, R²"
    if not np.isfinite(excess).any():
        several = len(summary.guided.names) > 1
        return Card(name, "–", "too few samples to measure it" if several else "a single quantity has no leakage")
    i, j = np.unravel_index(np.nanargmax(excess), excess.shape)
    names = summary.guided.names
    pair = f"{names[i]}, read from the subspace of {names[j]}"
    others = np.isnan(excess).sum() > len(names)  # the diagonal has none
    return Card(name, number(excess[i, j]), pair + "; other pairs have too few samples" * bool(others))


def _change(relative: float) -> str:
    """Return a relative change of the error as text."""
    percent = 100 * abs(relative)
    if abs(relative) < NOTICEABLE:
        return "did not change"
    return f"{'raised' if relative > 0 else 'lowered'} by {percent:{'.0f' if percent < 1000 else '.2g'}} %"


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _range(values: Iterable[float]) -> str:
    finite = [value for value in values if np.isfinite(value)] or [float("nan")]
    low, high = number(min(finite)), number(max(finite))
    return low if low == high else f"{low} to {high}"
