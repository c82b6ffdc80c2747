"""One run of the study: train a guided network by a plan, then score its edits on held-out samples."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.edits.networks import NETWORKS, UNet, noisy
from benchmarks.guided_recipe.sets import N_TRAIN, Set
from isospan.evaluation import evaluate, evaluate_edits, evaluate_use
from isospan.guided import EditLoss, SpaceObjective
from isospan.subspaces import LatentSpace, solve_subspaces

EPOCHS = 10
JOINT_FROM = 3
"""Epoch from which the term is added where all is trained at once."""
N_EDITED = 256
"""Held-out samples whose edits are scored."""

Values = dict[str, Tensor]


class Experiment:
    """The data of a run, and its steps.

    Args:
        data: samples and quantities.
        network: name of the network.
        seed: of weights and batches.
        epochs: of each training.
    """

    def __init__(self, data: Set, network: str, seed: int, epochs: int = EPOCHS) -> None:
        self.data, self.network, self.seed, self.epochs = data, network, seed, epochs
        self.x = data.x if network == "autoencoder" else noisy(data.x)
        self.scale = {name: y.var(0).mean().sqrt() for name, y in data.y.items()}
        self.mean = {name: y.mean(0) for name, y in data.y.items()}
        self.y = self.quantities(data.x)

    def quantities(self, x: Tensor) -> Values:
        """Standardised quantities of fields."""
        return {name: (y - self.mean[name]) / self.scale[name] for name, y in self.data.quantities(x).items()}

    def make(self) -> nn.Module:
        """Return the network with the weights of the seed."""
        torch.manual_seed(self.seed)
        return NETWORKS[self.network](self.data)

    def objective(self) -> SpaceObjective:
        """Return the guidance at its defaults."""
        return SpaceObjective(self.data.k, self.data.latent_dim)

    def train(
        self,
        net: nn.Module,
        parameters: Iterable[nn.Parameter],
        *,
        objective: SpaceObjective | None = None,
        weight: float = 0.0,
        edits: EditLoss | None = None,
    ) -> None:
        """Train parameters by the task, the guidance and the edits; without ``edits``, by those of the objective."""
        optimizer, order = torch.optim.Adam(parameters, lr=3e-3), torch.Generator().manual_seed(self.seed)
        variance = self.data.x.var(0).mean()
        for epoch in range(self.epochs):
            for rows in torch.randperm(N_TRAIN, generator=order).split(32):
                x, y = self.data.x[rows], {name: value[rows] for name, value in self.y.items()}
                z, skipped = net.encode(self.x[rows])
                loss = (net.decode(z, skipped) - x).square().mean() / variance
                if objective is not None:
                    loss = objective.total_loss(loss, z, y)
                    if weight and epoch >= JOINT_FROM:
                        edits = EditLoss(objective.space)
                if weight and edits is not None:
                    loss = loss + weight * edits(z, y, _decoder(net, skipped), self.quantities, generator=order)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    @torch.no_grad()
    def encode(self, net: nn.Module, rows: slice) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Latents and skip connections of samples."""
        parts = [net.encode(x) for x in self.x[rows].split(256)]
        return torch.cat([z for z, _ in parts]), tuple(map(torch.cat, zip(*[s for _, s in parts], strict=True)))

    def solve(self, net: nn.Module) -> LatentSpace:
        """Solve the subspaces of the training samples."""
        z = self.encode(net, slice(N_TRAIN))[0].double()
        return solve_subspaces(z, {name: y[:N_TRAIN].double() for name, y in self.y.items()}, self.data.k)

    def scores(self, net: nn.Module, space: LatentSpace | None = None) -> dict[str, Any]:
        """Error, R², use of the latent, and fidelity and side effects of edits."""
        space = space or self.solve(net)
        rows = slice(N_TRAIN, N_TRAIN + N_EDITED)
        z, skipped = self.encode(net, rows)
        x, y = self.data.x[rows], {name: value[rows] for name, value in self.y.items()}
        decoder, variance = _decoder(net, skipped), (x - x.mean(0)).square().mean()
        use = evaluate_use(space, lambda z: (decoder(z) - x).square().mean() / variance, z)
        edits = evaluate_edits(space, decoder, self.quantities, z, y, batch_size=len(z))
        return {
            "error": use.error,
            "error of the mean latent": use.mean_error,
            "r2": evaluate(space, z, y).subspace_r2,
            "edits": edits.to_dict(),
        }


def _decoder(net: nn.Module, skipped: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor]:
    return lambda z: net.decode(z, skipped)


def _guided(experiment: Experiment, weight: float) -> tuple[nn.Module, LatentSpace | None]:
    """Task and guidance, and from the fourth epoch on the edits of the objective's space."""
    net, objective = experiment.make(), experiment.objective()
    experiment.train(net, net.parameters(), objective=objective, weight=weight)
    return net, None


def _afterwards(experiment: Experiment, weight: float) -> tuple[nn.Module, LatentSpace | None]:
    """Task and guidance; then the decoder alone, by task and edits, of an encoder that no longer changes."""
    net, _ = _guided(experiment, 0.0)
    return _decoder_trained(experiment, net, weight)


def _encoder_first(experiment: Experiment, weight: float) -> tuple[nn.Module, LatentSpace | None]:
    """The encoder by task and guidance with a decoder without skips; then a new decoder by task and edits."""
    net, first = experiment.make(), UNet(experiment.data, skips=False)
    first.encoder.load_state_dict(deepcopy(net.encoder.state_dict()))
    experiment.train(first, first.parameters(), objective=experiment.objective())
    net.encoder.load_state_dict(first.encoder.state_dict())
    return _decoder_trained(experiment, net, weight)


def _decoder_trained(experiment: Experiment, net: nn.Module, weight: float) -> tuple[nn.Module, LatentSpace]:
    net.encoder.requires_grad_(False)
    space = experiment.solve(net)
    experiment.train(net, net.decoder.parameters(), weight=weight, edits=EditLoss(space))
    return net, space


PLANS: dict[str, Callable[[Experiment, float], tuple[nn.Module, LatentSpace | None]]] = {
    "joint": _guided,
    "decoder afterwards": _afterwards,
    "encoder first": _encoder_first,
}


def run(plan: str, weight: float, data: Set, network: str, seed: int, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train one network and return its scores."""
    experiment = Experiment(data, network, seed, epochs)
    return experiment.scores(*PLANS[plan](experiment, weight))
