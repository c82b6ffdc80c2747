"""The recipes of the study: no guidance, isospan's, and spacelearn's where it is installed beside it."""

import importlib
import importlib.util
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmarks.guided_recipe.kinds import LATENT_DIM, Kind
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.samples import Samples
from isospan.experiment.training import encode_samples
from isospan.guided import SpaceObjective
from isospan.subspaces import LatentSpace

RECIPES = ("none", "isospan", "orthogonal", "spacelearn")

Objective = SpaceObjective | nn.Module | None


def make_objective(recipe: str, kind: Kind, model: ConvAutoencoder, train: Samples, **options: float) -> Objective:
    """Return the objective of a recipe; ``options`` go to :class:`SpaceObjective`."""
    if recipe == "none":
        return None
    if recipe == "spacelearn":
        return Spacelearn(kind, model, train)
    return SpaceObjective(kind.k, LATENT_DIM, orthogonal=recipe == "orthogonal", **options)


def is_installed(recipe: str) -> bool:
    """Whether the recipe's library can be imported."""
    return recipe != "spacelearn" or importlib.util.find_spec("spacelearn") is not None


class Spacelearn(nn.Module):
    """spacelearn's README: all four terms at weight 1, raw units, solved before training and after epochs 1, 2, 4, 8.

    Bases and decoders come from a reference set (the training samples) and are frozen in between.
    """

    def __init__(self, kind: Kind, model: ConvAutoencoder, train: Samples) -> None:
        super().__init__()
        self.api = importlib.import_module("spacelearn")
        self.kind, self.reference, self.epoch = kind, train, 0
        self._model = [model]  # in a list, so that its parameters are not also this module's
        self.terms: dict[str, Tensor] = {}
        self.solve_steps: list[int] = []
        self.W: dict[str, Tensor] = {}
        self.A: dict[str, Tensor] = {}
        self.W_prev: dict[str, Tensor] = {}

    def total_loss(self, task_loss: Tensor, z: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Return the task loss plus spacelearn's combined loss."""
        if not self.W:
            self.solve()
        flat = {name: target.flatten(1) for name, target in y.items()}
        guidance = self.api.combined_loss(z, self.W, self.A, flat, self.W_prev)
        self.terms = {"task": task_loss.detach(), "total": guidance.detach()}
        return task_loss + guidance

    def end_epoch(self) -> None:
        """Solve again after epochs 1, 2, 4, 8."""
        self.epoch += 1
        if self.epoch & (self.epoch - 1) == 0 and self.epoch <= 8:
            self.solve()

    @torch.no_grad()
    def solve(self) -> None:
        """Solve bases and decoders from the reference set."""
        z, y = self._latents()
        self.W_prev = self.W
        self.W, self.A = {}, {}
        solved = self.api.solve_subspaces(z, y, k=self.kind.k)
        for name in self.kind.k:
            self.W[name], self.A[name], _ = solved[name]
        self.W_prev = self.W_prev or self.W

    @property
    @torch.no_grad()
    def space(self) -> LatentSpace:
        """The bases as they stand, with the reference set's means."""
        z, y = self._latents()
        return LatentSpace(
            W={name: W.double() for name, W in self.W.items()},
            A={name: A.double() for name, A in self.A.items()},
            z_mean=z.mean(0).double(),
            y_mean={name: target.mean(0).double() for name, target in y.items()},
            y_scale={name: target.var(0).mean().sqrt().double() for name, target in y.items()},
            shapes={name: (target.shape[1],) for name, target in y.items()},
        )

    def _latents(self) -> tuple[Tensor, dict[str, Tensor]]:
        z, y = encode_samples(self._model[0], self.reference, self.kind.targets)
        return z, {name: target.flatten(1) for name, target in y.items()}
