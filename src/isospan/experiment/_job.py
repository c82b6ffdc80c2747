"""The steps of a run: choose the sizes, train the two networks, evaluate them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import cast

from torch import Tensor, nn

from isospan._core.files import PathLike
from isospan._core.randomness import generator_of
from isospan.evaluation import EditEvaluation, Evaluation, UseEvaluation, evaluate_moments
from isospan.experiment._config import TrainConfig, options_of
from isospan.experiment._edit_scores import evaluate_edits_and_use
from isospan.experiment._error_bars import Interval, calibrated
from isospan.experiment._reporter import Reporter
from isospan.experiment._sizes import Sizes, solve_sizes
from isospan.experiment._targets import Targets
from isospan.experiment.networks import ConvAutoencoder, NetworkDescription
from isospan.experiment.samples import Samples, Shard, field_statistics
from isospan.experiment.samples._samples import fingerprint, steps_per_epoch
from isospan.experiment.training import (
    History,
    encode_samples,
    encoded_moments,
    fit,
    read_out,
    reconstruction_error,
    shifted,
)
from isospan.experiment.training._loop import Progress
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations import Checkpoints
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, solve_from_moments

Bases = Mapping[str, Tensor] | None

REFERENCE_PASSES = 3
"""The final subspaces are solved from the training samples and this number of shifted copies of them."""


def checkpoints_in(out: PathLike) -> list[Path]:
    """Return the checkpoints of a run in a directory, of both networks."""
    return sorted((Path(out) / "checkpoints").glob("*/*.safetensors"))


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network, its latent space, and its evaluation on held-out samples.

    Attributes:
        model: the network.
        space: subspaces solved from the training samples, for the unguided network as well, with error bars from the
            held-out ones.
        history: its losses.
        evaluation: scores on held-out samples. Probes are fitted on the training samples.
        nmse: held-out reconstruction error over the variance.
        drift: rotation of the subspaces while training; empty without guidance.
        intervals: quantities of held-out samples with their intervals; empty where too few are held out.
        edits: scores of edits of held-out samples; None without a quantity that is a differentiable function of the
            fields, and where fewer than two samples are held out.
        use: the reconstruction error without the latent, and without each subspace; None as ``edits``.
    """

    model: ConvAutoencoder
    space: LatentSpace
    history: History
    evaluation: Evaluation
    nmse: float
    drift: SubspaceMonitor
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    edits: EditEvaluation | None = None
    use: UseEvaluation | None = None

    def __repr__(self) -> str:
        names = shorten(", ".join(self.space.names), 80, placeholder=" …")
        size = f"latent_dim={self.space.latent_dim}, {len(self.history.steps)} steps"
        return f"TrainedNetwork({type(self.model).__name__}, {names}; {size}, nmse={self.nmse:.4g})"


@dataclass(frozen=True, eq=False, repr=False)
class Job:
    """The samples and settings of a run.

    Attributes:
        config: the settings.
        train: samples to train on.
        test: held-out samples.
        targets: the quantities; pooled after their sizes are chosen.
        augment: whether training shifts and flips the fields.
        reporter: receives the progress.
    """

    config: TrainConfig
    train: Samples
    test: Samples
    targets: Targets
    augment: bool
    reporter: Reporter

    def solve_sizes(self) -> Sizes:
        """Choose n and k of every quantity, and the latent dimension, from the samples to train on."""
        self.reporter.stage("Sizing the quantities")
        sizes = solve_sizes(
            self.train,
            self.targets,
            augment=self.augment,
            **options_of(self.config, "bin_threshold k_threshold max_bins latent_dim seed"),
        )
        self.reporter.sized(sizes)
        return sizes

    def train_networks(self, sizes: Sizes, description: NetworkDescription) -> dict[str, TrainedNetwork]:
        """Train with guidance; then without, from the same weights and on the same batches."""
        names = ["guided", "unguided"] if self.config.baseline else ["guided"]
        if not self.config.resume:  # a later resume would find those of an earlier run
            for name in ("guided", "unguided"):
                Checkpoints(self._checkpoint_directory(name)).clear()
        steps = self.config.epochs * steps_per_epoch(len(self.train), self.config.batch_size)
        self.reporter.planned(dict.fromkeys(names, steps))
        data = fingerprint(self.train, self.test)
        return {name: self._train_network(name, sizes, description, data) for name in names}

    def _train_network(self, name: str, sizes: Sizes, description: NetworkDescription, data: str) -> TrainedNetwork:
        config, checkpoints = self.config, self._checkpoints(name, sizes, data)
        saved = checkpoints.latest() if config.resume else None
        self.reporter.stage(f"Training, {name}" + (f", resuming after epoch {saved['epoch']}" if saved else ""))
        model = description.build(config.encoder, seed=config.seed).standardise_(*field_statistics(self.train))
        k, D = sizes.k, sizes.latent_dim
        objective = SpaceObjective(k, D, orthogonal=config.orthogonal, strength=config.strength)
        guide = {"objective": objective, "quantities": self.targets} if name == "guided" else {}
        monitor = SubspaceMonitor()
        history = fit(
            model,
            self.train,
            augment=self.augment,
            validation=self.test,
            progress=self._progress(name, monitor),
            monitor=monitor,
            checkpoints=checkpoints,
            **options_of(config, "epochs batch_size lr seed device resume"),
            **guide,
        )
        previous = objective.solution.W if objective.solved else None
        return self._evaluated(model, sizes, previous, history, monitor)

    def _progress(self, name: str, monitor: SubspaceMonitor) -> Progress:
        """Return a callback that reports every step, and every new row of the monitor."""
        reported = 0

        def progress(epoch: int, step: int, total: int, losses: Mapping[str, float]) -> None:
            nonlocal reported
            if len(monitor) > reported:
                reported = len(monitor)
                self.reporter.monitored(name, monitor)
            self.reporter.stepped(name, epoch, step, total, losses)

        return progress

    def _checkpoints(self, name: str, sizes: Sizes, data: str) -> Checkpoints:
        solved = {"dims": repr(dict(sizes.dims)), "latent_dim": sizes.latent_dim}
        run = self.config.settings() | solved | {"network": name, "checksum of the samples": data}
        return Checkpoints(self._checkpoint_directory(name), run=run)

    def _checkpoint_directory(self, name: str) -> Path:
        return Path(self.config.out) / "checkpoints" / name

    def _evaluated(
        self, model: ConvAutoencoder, sizes: Sizes, previous: Bases, history: History, drift: SubspaceMonitor
    ) -> TrainedNetwork:
        """Solve the subspaces from the training samples; evaluate and calibrate them on the held-out ones."""
        self.reporter.stage("Evaluating on held-out samples")
        fitted, shapes = self._reference(model), self.targets.shapes(self.train)
        space = solve_from_moments(fitted, sizes.k, shapes=shapes, orthogonal=self.config.orthogonal, previous=previous)
        several = self.targets.several
        held_out = read_out(model, self.test, self.targets, target_covariance=several, shard=Shard.own())
        evaluation = evaluate_moments(space, [(fitted, cast("Moments", held_out.moments))])
        space, intervals = calibrated(space, self.test, partial(encode_samples, model), self.targets)
        error = reconstruction_error(held_out, self.test)
        self.reporter.stage("Editing held-out samples")
        edits, use = evaluate_edits_and_use(model, space, self.test, self.targets)
        return TrainedNetwork(model, space, history, evaluation, error, drift, intervals, edits, use)

    def _reference(self, model: nn.Module) -> Moments:
        """Moments of the training samples and, where training shifted them, of shifted copies."""
        options = {"target_covariance": self.targets.several, "shard": Shard.own()}
        encoded = partial(encoded_moments, model, self.train, self.targets, **options)
        moments = encoded()
        for copy in range(REFERENCE_PASSES if self.augment else 0):
            moments.merge(encoded(transform=partial(self._shifted, copy)))
        return moments

    def _shifted(self, copy: int, batch: Samples, first: int) -> Samples:
        return shifted(batch, generator=generator_of(self.config.seed, copy, first))
