"""The tables of the study, from its file of results: medians over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

Runs = list[Mapping[str, Any]]

HEAD = """| fields | recipe | seeds | diverged | NMSE | of unguided | subspace R² | rank-k probe R² | gap | excess |
|---|---|---|---|---|---|---|---|---|---|"""


def markdown(runs: Iterable[Mapping[str, Any]]) -> str:
    """One row for each kind of fields and recipe."""
    groups: dict[tuple[str, str], Runs] = defaultdict(list)
    for run in runs:
        groups[run["kind"], run["label"]].append(run)
    unguided = {kind: group for (kind, label), group in groups.items() if label == "none"}
    return "\n".join([HEAD, *(_row(*name, group, unguided.get(name[0], [])) for name, group in groups.items())])


def _row(kind: str, label: str, runs: Runs, unguided: Runs) -> str:
    done = [run for run in runs if not run["diverged"]]
    cells = [kind, label, str(len(runs)), str(len(runs) - len(done))]
    if done:
        cells += [f"{_median(done, 'nmse'):.4f}", _ratio(done, unguided)]
        cells += [_by_name(done, "subspace_r2"), _by_name(done, "rank_k_probe_r2")]
        cells += [f"{_median(done, 'gap'):.3f}", f"{_median(done, 'excess'):+.3f}"]
    return "| " + " | ".join(cells) + " |"


def _median(runs: Runs, score: str) -> float:
    return median(run[score] for run in runs)


def _ratio(runs: Runs, unguided: Runs) -> str:
    """Median NMSE over the median of the unguided network's, of the seeds that both have."""
    shared = {run["seed"] for run in runs} & {run["seed"] for run in unguided if not run["diverged"]}
    if not shared:
        return ""
    guided, free = ([run for run in group if run["seed"] in shared] for group in (runs, unguided))
    return f"{_median(guided, 'nmse') / _median(free, 'nmse'):.2f}"


def _by_name(runs: Runs, score: str) -> str:
    return ", ".join(f"{median(run[score][name] for run in runs):.3f}" for name in runs[0][score])
