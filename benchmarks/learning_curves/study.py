"""One run of the study: train on n samples, and score on 5,000 of other trajectories."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.learning_curves.learners import make_learner, size
from benchmarks.learning_curves.problems import Pair, Problem
from isospan._core.randomness import seeded
from isospan.experiment.training import learning_rate
from isospan.representations import Representation
from isospan.symmetric import var_mean

TEST_SEED = 1000
HELD_OUT = 5
"""One of this many samples chooses the step at which training should have stopped."""


@dataclass(frozen=True)
class Budget:
    """What every learner is given alike."""

    steps: int = 1000
    batch_size: int = 256
    lr: float = 1e-2
    check_every: int = 25
    patience: int = 250
    n_max: int = 10_000
    n_test: int = 5_000


QUICK = Budget(steps=50, n_max=300, n_test=500)


@dataclass(frozen=True)
class Scale:
    """Means and deviations under the group, so that standardising commutes with it, for all learners alike."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x: Tensor, rep: Representation) -> Self:
        """Those of samples."""
        variance, mean = var_mean(x, rep)
        return cls(mean, variance.sqrt())

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise."""
        return (x - self.mean) / self.std


def run(name: str, problem: Problem, n: int, seed: int, budget: Budget) -> dict[str, Any]:
    """Train one learner on the first n samples of a seed; its error on the test samples over their variance."""
    train, test = problem.make(budget.n_max, seed), problem.make(budget.n_test, TEST_SEED)
    x, y = (part[:n] for part in train)
    scale_x, scale_y = Scale.of(x, problem.rep_x), Scale.of(y, problem.rep_y)
    x, y, cut = scale_x(x), scale_y(y), n - n // HELD_OUT
    with seeded(seed):
        model = make_learner(name, problem)
    started = time.thread_time()
    augment = Augmentation(problem) if name == "mlp-augmented" else None
    step, validation = fit(model, (x[:cut], y[:cut]), (x[cut:], y[cut:]), seed, budget, augment)
    seconds = time.thread_time() - started
    error = relative_error(lambda x: model(scale_x(x)) * scale_y.std + scale_y.mean, test, problem)
    return {"error": error, "validation": validation, "step": step, "parameters": size(model), "seconds": seconds}


def fit(
    model: nn.Module, data: Pair, held_out: Pair, seed: int, budget: Budget, augment: "Augmentation | None"
) -> tuple[int, float]:
    """Adam along a cosine; the model becomes the one of least held-out error. Returns its step and that error.

    Training stops where that error has not fallen for `patience` steps.
    """
    optimizer = torch.optim.Adam(model.parameters())
    best, kept = (0, float("inf")), deepcopy(model.state_dict())
    for step, (x, y) in enumerate(batches(data, seed, budget), start=1):
        x, y = augment(x, y) if augment else (x, y)
        optimizer.param_groups[0]["lr"] = learning_rate(step, budget.steps, lr=budget.lr)
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        if step % budget.check_every == 0:
            error = mean_square(model, held_out)
            if error < best[1]:
                best, kept = (step, error), deepcopy(model.state_dict())
            elif step - best[0] >= budget.patience:
                break
    model.load_state_dict(kept)
    return best


def batches(data: Pair, seed: int, budget: Budget) -> Iterator[Pair]:
    """A number of batches of samples in random order, the same for every learner of a seed."""
    generator, n = torch.Generator().manual_seed(seed), len(data[0])
    taken = 0
    while taken < budget.steps:
        for rows in torch.randperm(n, generator=generator).split(min(budget.batch_size, n))[: budget.steps - taken]:
            taken += 1
            yield data[0][rows], data[1][rows]


class Augmentation:
    """Moves every sample of a batch by a random element of the group."""

    def __init__(self, problem: Problem) -> None:
        elements = problem.rep_x.group.elements
        self.matrices = [
            torch.stack([torch.tensor(rep(g), dtype=torch.float32) for g in elements])
            for rep in (problem.rep_x, problem.rep_y)
        ]
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, x: Tensor, y: Tensor) -> Pair:
        """Move a batch."""
        order = len(self.matrices[0])
        chosen = torch.randint(order, (len(x),), generator=self.generator)
        moved_x, moved_y = (
            torch.einsum("bij,bj->bi", m[chosen], z) for m, z in zip(self.matrices, (x, y), strict=True)
        )
        return moved_x, moved_y


@torch.no_grad()
def mean_square(model: nn.Module, data: Pair) -> float:
    x, y = data
    return float((model(x) - y).square().mean())


@torch.no_grad()
def relative_error(predict: Callable[[Tensor], Tensor], test: Pair, problem: Problem) -> float:
    """Squared error of each coordinate over its variance, averaged over coordinates: 0 exact, 1 as good as the mean."""
    x, y = test
    return float(((predict(x) - y).square().mean(0) / var_mean(y, problem.rep_y)[0]).mean())
