"""One run of the study: train, then score the latents of held-out samples."""

import time
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.guided_recipe.recipes import Heads, make
from benchmarks.guided_recipe.sets import N_TRAIN, Set
from isospan.errors import IsospanError
from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective
from isospan.subspaces import LatentSpace, solve_subspaces


@dataclass(frozen=True)
class Budget:
    """What every recipe is given alike.

    Attributes:
        optimizer: "adam", "adamw" with weight decay 1, or "sgd" with momentum 0.9.
        task_scale: factor of the task's loss.
        labelled: share of the training samples whose quantities are known; guidance and heads see these alone.
    """

    epochs: int = 10
    batch_size: int = 32
    lr: float = 3e-3
    optimizer: str = "adam"
    task_scale: float = 1.0
    labelled: float = 1.0

    @property
    def recorded(self) -> dict[str, float]:
        """What the file of results has of it: the study changes nothing else."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}

    def make_optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=self.lr, momentum=0.9)
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=1.0)
        return torch.optim.Adam(parameters, lr=self.lr)


QUICK = Budget(epochs=1, batch_size=128)


def run(recipe: str, data: Set, seed: int, budget: Budget, **options: Any) -> dict[str, Any]:
    """Train one network and return its scores, or ``{"diverged": True}``."""
    y = {name: _standardised(value) for name, value in data.y.items()}
    torch.manual_seed(seed)
    encoder, decoder = data.network()
    guidance = make(recipe, {name: value.shape[1] for name, value in y.items()}, data.k, data.latent_dim, **options)
    started = time.thread_time()
    try:
        _train(data, y, encoder, decoder, guidance, seed, budget)
    except IsospanError:
        return {"diverged": True}
    seconds = time.thread_time() - started
    with torch.no_grad():
        z = encoder(data.x)
        error = (decoder(z) - data.x)[N_TRAIN:].square().sum()
    held_out = data.x[N_TRAIN:]
    nmse = float(error / (held_out - held_out.mean(0)).square().sum())
    if not isfinite(nmse):
        return {"diverged": True}
    return {"diverged": False, "nmse": nmse, "seconds": seconds} | _scores(data, y, z, decoder, guidance)


def _standardised(y: Tensor) -> Tensor:
    return (y - y.mean(0)) / y.var(0).mean().sqrt()


def _train(
    data: Set,
    y: dict[str, Tensor],
    encoder: nn.Module,
    decoder: nn.Module,
    guidance: nn.Module,
    seed: int,
    budget: Budget,
) -> None:
    parameters = [p for module in (encoder, decoder, guidance) for p in module.parameters()]
    optimizer, order = budget.make_optimizer(parameters), torch.Generator().manual_seed(seed)
    variance, n_labelled = data.x.var(0).mean(), int(budget.labelled * N_TRAIN)
    for _ in range(budget.epochs):
        for rows in torch.randperm(N_TRAIN, generator=order).split(budget.batch_size):
            x = data.x[rows]
            z = encoder(x)
            loss = budget.task_scale * (decoder(z) - x).square().mean() / variance
            known = rows < n_labelled
            if known.any():
                of_known = {name: value[rows[known]] for name, value in y.items()}
                loss = _total_of_known(guidance, loss, z, known, of_known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if hasattr(guidance, "end_epoch"):
            guidance.end_epoch()


def _total_of_known(guidance: nn.Module, task_loss: Tensor, z: Tensor, known: Tensor, y: dict[str, Tensor]) -> Tensor:
    """Total loss with guidance by the samples whose quantities are known."""
    if isinstance(guidance, SpaceObjective):
        return guidance.total_loss(task_loss, z, y, to_latents=lambda z: z[known])
    return guidance.total_loss(task_loss, z[known], y)


def _scores(data: Set, y: dict[str, Tensor], z: Tensor, decoder: nn.Module, guidance: nn.Module) -> dict[str, Any]:
    """R² of each quantity, gap to the best rank-k probe, excess leakage, and gain and side effects of linear edits.

    Subspaces of every recipe are those of the training latents; of an objective with its options. The R² of a head is
    the larger of its own and that of a rank-k probe of its latents.
    """
    z, y = z.double(), {name: value.double() for name, value in y.items()}
    fitted, held_out = (
        (z[rows], {n: v[rows] for n, v in y.items()}) for rows in (slice(N_TRAIN), slice(N_TRAIN, None))
    )
    if isinstance(guidance, SpaceObjective):
        space = guidance.solve(*fitted)
    else:
        space = solve_subspaces(*fitted, data.k)
    evaluation = evaluate(space, *held_out, fit=fitted)
    r2 = dict(evaluation.subspace_r2)
    if isinstance(guidance, Heads):
        own = {name: _r2(_read(guidance, name, held_out[0]), value) for name, value in held_out[1].items()}
        r2 = {name: max(score, own[name], evaluation.rank_k_probe_r2[name]) for name, score in r2.items()}
    excess = evaluation.excess_leakage
    return {
        "r2": r2,
        "gap": max(evaluation.rank_k_probe_r2[name] - score for name, score in evaluation.subspace_r2.items()),
        "excess": float(excess[~torch.isnan(excess)].max()),
        "edits": _edits(data, space, *held_out, decoder, guidance),
    }


@torch.no_grad()
def _read(head: Heads, name: str, z: Tensor) -> Tensor:
    return head.heads[name](z.float()).double()


def _r2(read: Tensor, y: Tensor) -> float:
    return float(1 - (read - y).square().sum() / (y - y.mean(0)).square().sum())


@torch.no_grad()
def _edits(
    data: Set, space: LatentSpace, z: Tensor, y: dict[str, Tensor], decoder: nn.Module, guidance: nn.Module
) -> dict[str, tuple[float, float]]:
    """Gain of a linear edit to another sample's value, in the decoded sample, and the side effects.

    The gain is the slope of the change that is decoded on the one that was asked. Side effects are the mean squared
    change of the other quantities, in units of their variances. A head is edited by the shortest step that its read-out
    asks for; the space by its own edit.
    """
    before = data.quantities(decoder(z.float()))
    other = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    scale = {name: data.y[name].var(0).mean().sqrt() for name in before}
    edits = {}
    for name in before:
        asked = y[name][other] - y[name]
        if isinstance(guidance, Heads):
            edited = z + asked @ torch.linalg.pinv(guidance.reader(name))
        else:
            edited = space.edit(z, {name: space.decode(z)[name] + asked})
        after = data.quantities(decoder(edited.float()))
        change = {n: ((after[n] - before[n]) / scale[n]).double() for n in before}
        gain = float((change[name] * asked).sum() / asked.square().sum())
        side = [float(change[n].square().mean()) for n in before if n != name]
        edits[name] = (gain, max(side, default=0.0))
    return edits


def key(recipe: str, set_name: str, seed: int, budget: Budget, options: dict[str, float]) -> str:
    """Name of a run in the file of results."""
    return " ".join(map(str, (recipe, set_name, seed, *budget.recorded.values(), *sorted(options.items()))))
