"""The recipes of the study: ``total_loss(task_loss, z, y)`` of each, with the parameters that it trains."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from isospan.guided import SpaceObjective

HEADS = ("head 0.03", "head 0.1", "head 0.3", "head 1", "head 3")
RECIPES = ("none", *HEADS, "kendall", "blocks", "spacelearn", "isospan", "orthogonal")

Dims = Mapping[str, int]


def make(recipe: str, dims: Dims, k: Dims, latent_dim: int, **options: Any) -> nn.Module:
    """Return a recipe for quantities of these entries, {name: P}; ``options`` go to :class:`SpaceObjective`."""
    kind, _, number = recipe.partition(" ")
    if kind in ("isospan", "orthogonal"):
        return SpaceObjective(k, latent_dim, orthogonal=kind == "orthogonal", **options)
    if kind == "head":
        return Heads(dims, latent_dim, weight=float(number))
    return {"none": Unguided, "kendall": Kendall, "blocks": Blocks, "spacelearn": Spacelearn}[kind](dims, latent_dim, k)


def is_installed(recipe: str) -> bool:
    """Whether the recipe's library can be imported."""
    return recipe != "spacelearn" or importlib.util.find_spec("spacelearn") is not None


class Unguided(nn.Module):
    """The task alone."""

    def __init__(self, dims: Dims, latent_dim: int, k: Dims) -> None:
        super().__init__()

    def total_loss(self, task_loss: Tensor, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the task loss."""
        return task_loss


class Heads(nn.Module):
    """What a user writes in two lines: a linear head a quantity, and the mean of their squared errors."""

    def __init__(self, dims: Dims, latent_dim: int, *, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.heads = nn.ModuleDict({name: nn.Linear(latent_dim, P) for name, P in dims.items()})

    def errors(self, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Mean squared error of each quantity (Q,)."""
        return torch.stack([(head(z) - y[name]).square().mean() for name, head in self.heads.items()])

    def total_loss(self, task_loss: Tensor, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the task loss plus the weighted mean error."""
        return task_loss + self.weight * self.errors(z, y).mean()

    def reader(self, name: str) -> Tensor:
        """Read-out (D, P) of a quantity."""
        return self.heads[name].weight.detach().mT.double()


class Kendall(Heads):
    """Heads weighed by trained variances of the task and of each quantity (Kendall, Gal and Cipolla, 2018)."""

    def __init__(self, dims: Dims, latent_dim: int, k: Dims) -> None:
        super().__init__(dims, latent_dim, weight=1.0)
        self.log_variance = nn.Parameter(torch.zeros(1 + len(dims)))

    def total_loss(self, task_loss: Tensor, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of each loss over twice its variance, plus half of the log variance."""
        losses = torch.cat([task_loss[None], self.errors(z, y)])
        return ((-self.log_variance).exp() * losses + self.log_variance).sum() / 2


class Blocks(Heads):
    """Heads of weight 0.3, each of which reads k coordinates of its own."""

    def __init__(self, dims: Dims, latent_dim: int, k: Dims) -> None:
        super().__init__(dims, latent_dim, weight=0.3)
        start = 0
        for name, head in self.heads.items():
            mask = torch.zeros(latent_dim)
            mask[start : start + k[name]] = 1
            start += k[name]
            nn.utils.parametrize.register_parametrization(head, "weight", Masked(mask))


class Masked(nn.Module):
    """A weight times a mask of its columns."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """Multiply."""
        return weight * self.mask


class Spacelearn(nn.Module):
    """spacelearn's README: four terms at weight 1, and subspaces of an epoch, solved after epochs 1, 2, 4 and 8."""

    def __init__(self, dims: Dims, latent_dim: int, k: Dims) -> None:
        super().__init__()
        self.api, self.k, self.epoch = importlib.import_module("spacelearn"), dict(k), 0
        self.seen: list[tuple[Tensor, Mapping[str, Tensor]]] = []
        self.W: dict[str, Tensor] = {}
        self.A: dict[str, Tensor] = {}
        self.W_prev: dict[str, Tensor] = {}

    def total_loss(self, task_loss: Tensor, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the task loss plus spacelearn's combined loss, from the end of the first epoch on."""
        self.seen.append((z.detach(), y))
        return task_loss + self.api.combined_loss(z, self.W, self.A, y, self.W_prev) if self.W else task_loss

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Solve again after epochs 1, 2, 4, 8."""
        self.epoch += 1
        z = torch.cat([z for z, _ in self.seen])
        y = {name: torch.cat([y[name] for _, y in self.seen]) for name in self.k}
        self.seen.clear()
        if self.epoch & (self.epoch - 1) == 0 and self.epoch <= 8:
            solved = self.api.solve_subspaces(z, y, k=self.k)
            self.W_prev = self.W
            self.W, self.A = ({name: solved[name][i] for name in self.k} for i in range(2))
            self.W_prev = self.W_prev or self.W
