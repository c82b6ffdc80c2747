"""Learning curves from the file of results: medians and ranges over seeds, and the samples that symmetry saves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from statistics import median
from typing import Any, Self

from benchmarks.learning_curves.learners import LEARNERS

HEAD = """| data | learner | parameters | {sizes} |
|---|---|---|{rules}|"""


@dataclass(frozen=True)
class Curves:
    """Errors of all seeds by (problem, learner) and number of samples, and the number of parameters."""

    errors: Mapping[tuple[str, str], Mapping[int, list[float]]]
    parameters: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, results: Iterable[Mapping[str, Any]]) -> Self:
        """Sort results."""
        errors: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        parameters = {}
        for result in sorted(results, key=_order):
            name = (result["problem"], result["learner"])
            errors[name][result["samples"]].append(result["error"])
            parameters[name] = result["parameters"]
        return cls(errors, parameters)

    @property
    def problems(self) -> list[str]:
        """Names of the problems."""
        return list(dict.fromkeys(problem for problem, _ in self.errors))

    def learners(self, problem: str) -> list[str]:
        """Names of its learners."""
        return [learner for name, learner in self.errors if name == problem]

    def medians(self, problem: str, learner: str) -> dict[int, float]:
        """Median error over seeds by number of samples."""
        return {n: median(errors) for n, errors in self.errors[problem, learner].items()}


def _order(result: Mapping[str, Any]) -> tuple[str, int, int]:
    return result["problem"], list(LEARNERS).index(result["learner"]), result["samples"]


def samples_needed(curve: Mapping[int, float], error: float) -> float:
    """Where a curve first comes down to an error, on straight lines between logarithms; infinite beyond its end."""
    points = list(curve.items())
    if points[0][1] <= error:
        return points[0][0]
    for (n, above), (more, below) in pairwise(points):
        if below <= error:
            share = log(above / error) / log(above / below)
            return exp(log(n) + share * log(more / n))
    return float("inf")


def markdown(curves: Curves) -> str:
    """One row for each problem and learner, and below it how many samples of the plain network it is worth."""
    sizes = sorted({n for curve in curves.errors.values() for n in curve})
    head = HEAD.format(sizes=" | ".join(f"{n:,}" for n in sizes), rules="|".join("---" for _ in sizes))
    rows = [_row(curves, problem, learner, sizes) for problem, learner in curves.errors]
    return "\n".join([head, *rows, "", *_savings(curves)])


def _row(curves: Curves, problem: str, learner: str, sizes: list[int]) -> str:
    errors = curves.errors[problem, learner]
    cells = [f"{median(e):.3f} ({min(e):.3f}-{max(e):.3f})" if (e := errors.get(n)) else "" for n in sizes]
    return f"| {problem} | {LEARNERS[learner]} | {curves.parameters[problem, learner]:,} | {' | '.join(cells)} |"


def _savings(curves: Curves) -> Iterable[str]:
    for problem in curves.problems:
        if "mlp" not in curves.learners(problem):
            continue
        plain = curves.medians(problem, "mlp")
        for learner in (name for name in curves.learners(problem) if name != "mlp"):
            worth = {n: samples_needed(plain, error) for n, error in curves.medians(problem, learner).items()}
            texts = [f"{n:,}: {f'{m:,.0f}' if m < float('inf') else f'over {max(plain):,}'}" for n, m in worth.items()]
            yield f"{problem}, {LEARNERS[learner]}: samples that the MLP needs for the same error: {', '.join(texts)}"
