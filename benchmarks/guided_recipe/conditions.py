"""``python -m benchmarks.guided_recipe.conditions``: the recipes where optimizer, budget or sizes are unusual."""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

import torch

from benchmarks.guided_recipe.sets import SETS, Set
from benchmarks.guided_recipe.study import Budget, run
from benchmarks.timing import one_thread
from isospan.errors import NumericalWarning

RECIPES = ("none", "head 0.3", "isospan", "orthogonal")


@dataclass(frozen=True)
class Condition:
    """What differs from the study: the budget, and the set."""

    budget: Budget = field(default_factory=Budget)
    change: Callable[[Set], Set] = lambda data: data


def _with_noise(data: Set) -> Set:
    noise = torch.randn(len(data.x), 1, generator=torch.Generator().manual_seed(1))
    return replace(data, y=data.y | {"noise": noise}, k=data.k | {"noise": 1})


def _with_twins(data: Set) -> Set:
    twins = {f"{name} twin": 3 * y + 1 for name, y in data.y.items()}
    return replace(data, y=data.y | twins, k=data.k | {f"{name} twin": k for name, k in data.k.items()})


CONDITIONS = {
    "as in the study": Condition(),
    "SGD, momentum 0.9": Condition(Budget(optimizer="sgd", lr=0.05)),
    "AdamW, weight decay 1": Condition(Budget(optimizer="adamw")),
    "lr 3e-4": Condition(Budget(lr=3e-4)),
    "lr 1e-2": Condition(Budget(lr=1e-2)),
    "batch 4": Condition(Budget(epochs=3, batch_size=4, lr=1e-3)),
    "batch 512": Condition(Budget(epochs=40, batch_size=512)),
    "task x 1e-3": Condition(Budget(task_scale=1e-3)),
    "task x 1e3": Condition(Budget(task_scale=1e3)),
    "10 % labels": Condition(Budget(labelled=0.1)),
    "40 epochs": Condition(Budget(epochs=40)),
    "D = sum of k + 1": Condition(change=lambda data: replace(data, latent_dim=sum(data.k.values()) + 1)),
    "k = 1": Condition(change=lambda data: replace(data, k=dict.fromkeys(data.k, 1))),
    "twins": Condition(change=_with_twins),
    "noise": Condition(change=_with_noise),
}


def main() -> None:
    """Print one line for each set, condition and recipe."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guided_recipe.conditions", description=main.__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["digits", "three bodies"])
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore", NumericalWarning)
    one_thread()
    print("| set | condition | recipe | error | of unguided | mean R² | excess |\n|---|---|---|---|---|---|---|")
    for name in args.sets:
        for title in args.conditions:
            condition, unguided = CONDITIONS[title], float("nan")
            data = condition.change(SETS[name]())
            for recipe in RECIPES:
                if recipe == "orthogonal" and sum(data.k.values()) > data.latent_dim:
                    continue
                scores = run(recipe, data, args.seed, condition.budget)
                unguided = scores.get("nmse", unguided) if recipe == "none" else unguided
                print("| " + " | ".join([name, title, recipe, *_cells(scores, unguided)]) + " |", flush=True)


def _cells(scores: dict[str, Any], unguided: float) -> list[str]:
    if scores["diverged"]:
        return ["diverged", "", "", ""]
    r2 = mean(score for name, score in scores["r2"].items() if name != "noise")
    return [f"{scores['nmse']:.4f}", f"{scores['nmse'] / unguided:.2f}", f"{r2:.3f}", f"{scores['excess']:.3f}"]


if __name__ == "__main__":
    main()
