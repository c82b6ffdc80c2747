"""One run of the study: train, then score what the latents of held-out fields hold."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from benchmarks.guided_recipe.kinds import KINDS, LATENT_DIM, SIZE, Kind
from benchmarks.guided_recipe.recipes import Objective, make_objective
from isospan._core.randomness import seeded
from isospan.errors import NonFiniteError
from isospan.evaluation import Evaluation, evaluate
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.samples import Samples, field_statistics
from isospan.experiment.training import encode_samples, fit, read_out, reconstruction_error
from isospan.guided import SpaceObjective
from isospan.subspaces import LatentSpace

WIDTH = 8
N_TEST = 256


@dataclass(frozen=True)
class Budget:
    """What every recipe is given alike."""

    n_train: int = 1024
    epochs: int = 16
    lr: float = 3e-3


QUICK = Budget(n_train=256, epochs=2)


def run(recipe: str, kind_name: str, seed: int, budget: Budget, **options: float) -> dict[str, Any]:
    """Train one network and return its scores, or ``{"diverged": True}``."""
    kind = KINDS[kind_name]
    samples = Samples(kind.make(1024 + N_TEST))
    train, test = samples[: budget.n_train], samples[1024:]
    with seeded(seed, "cpu"):
        model = ConvAutoencoder(1, (SIZE, SIZE), LATENT_DIM, width=WIDTH, periodic=True)
    model.standardise_(*field_statistics(train))
    objective = make_objective(recipe, kind, model, train, **options)
    started = time.perf_counter()
    try:
        fit(
            model, train, objective=objective, quantities=kind.targets,
            epochs=budget.epochs, lr=budget.lr, seed=seed, augment=True,
        )  # fmt: skip
    except NonFiniteError:
        return {"diverged": True}
    seconds = time.perf_counter() - started
    fitted, scored = (encode_samples(model, part, kind.targets) for part in (train, test))
    space = solved_space(kind, *fitted, objective)
    evaluation = evaluate(space, *scored, fit=fitted)
    nmse = reconstruction_error(read_out(model, test), test)
    return {"diverged": not isfinite(nmse), "nmse": nmse, "seconds": seconds} | scores(evaluation)


def solved_space(kind: Kind, z: Tensor, y: dict[str, Tensor], objective: Objective) -> LatentSpace:
    """What the objective gives after training; regression subspaces of the training latents where there is none."""
    if objective is None:
        objective = SpaceObjective(kind.k, LATENT_DIM)
        objective.solve(z, y)
    return objective.space


def scores(evaluation: Evaluation) -> dict[str, Any]:
    """What the table shows of an evaluation."""
    excess = evaluation.excess_leakage
    return {
        "subspace_r2": evaluation.subspace_r2,
        "rank_k_probe_r2": evaluation.rank_k_probe_r2,
        "gap": max(evaluation.rank_k_probe_r2[name] - r2 for name, r2 in evaluation.subspace_r2.items()),
        "excess": float(excess[~torch.isnan(excess)].max()),
        "target": evaluation.target_r2.tolist(),
    }


def key(recipe: str, kind_name: str, seed: int, budget: Budget, options: dict[str, float]) -> str:
    """Name of a run in the file of results."""
    parts: Iterable[Any] = (recipe, kind_name, seed, *vars(budget).values(), *sorted(options.items()))
    return " ".join(map(str, parts))
