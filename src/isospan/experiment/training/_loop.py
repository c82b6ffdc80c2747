"""Training an autoencoder of fields, with or without guidance on the same batches."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from isospan._core.checks import check_same_run
from isospan._core.processes import Ranks
from isospan._core.randomness import seeded
from isospan._core.text import differences
from isospan.errors import MissingArgumentError, OptionError
from isospan.experiment.samples import Shard
from isospan.experiment.samples._samples import Samples, field_statistics, shuffled_batches, steps_per_epoch
from isospan.experiment.training._augmentation import shifted
from isospan.experiment.training._history import History
from isospan.experiment.training._readout import Quantities, held_out_scores, read_out
from isospan.experiment.training._run_state import Run
from isospan.experiment.training._task import RECONSTRUCTION, Task
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations import Checkpoints

Progress = Callable[[int, int, int, Mapping[str, float]], None]
"""Called as ``progress(epoch, step, total_steps, losses)``."""


def fit(
    model: nn.Module,
    samples: Samples | Tensor,
    *,
    objective: SpaceObjective | None = None,
    quantities: Quantities | None = None,
    epochs: int = 16,
    batch_size: int = 64,
    lr: float = 3e-3,
    seed: int = 0,
    device: torch.device | str = "cpu",
    augment: bool = False,
    validation: Samples | None = None,
    task: Task = RECONSTRUCTION,
    progress: Progress | None = None,
    monitor: SubspaceMonitor | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> History:
    r"""Train an autoencoder to reconstruct its fields, with guidance where an objective is given.

    .. math:: L_\text{task} = \frac1C \sum_c \frac{\operatorname{mean}(\hat x_c - x_c)^2}{\operatorname{var} x_c}

    is the unexplained variance of the fields. With an objective, the loss is ``objective.total_loss(task, z, y)``. The
    optimiser is Adam with the learning rate of :func:`learning_rate`.

    The order of samples, and their shifts and flips, have their own generator. So a guided and an unguided run with the
    same seed see the same batches. The same seed gives the same weights, bit for bit, also after an interruption. A run
    can only be resumed with the same samples and settings, the number of epochs included, on which the learning rate
    depends.

    Under ``torch.distributed`` every process passes all samples, and takes its shard of every global batch. The run
    equals that of one process, except for rounding and for randomness inside the model. BatchNorm uses the statistics
    of the shard. The run may be resumed with another number of processes.

    Args:
        model: maps fields (B, C, H, W) to (reconstruction, latents (B, D)).
        samples: the fields (N, C, H, W), or these with arrays of quantities; in memory or not.
        objective: the guidance.
        quantities: maps a batch of samples to {name: (B, ...)}; needed with an objective.
        epochs: passes over the samples.
        batch_size: size of the global batch, at least 2; a last batch of a single sample is left out.
        lr: the highest learning rate.
        seed: seed of the order, of the shifts and flips, and of the randomness inside the model.
        device: device to train on. The model is moved there.
        augment: shift and flip each sample at random; only for periodic fields.
        validation: held-out samples, scored after every epoch.
        task: what the model is given of a batch, and what its output is compared with; by default reconstruction.
        progress: called after every step, in every process, as ``progress(epoch, step, total_steps, losses)``.
        monitor: records the rotation of the subspaces; saved in the checkpoints.
        checkpoints: saves the state after every epoch, and within it every ``every_steps`` steps.
        resume: continue from the newest checkpoint, if any. Otherwise old checkpoints are removed.

    Returns:
        The losses of every step, and the scores of every epoch.

    Raises:
        NonFiniteError: the fields or a loss are NaN or infinite.
        MissingArgumentError: ``objective`` is given without ``quantities``.
        OptionError: a number is out of its range, or the checkpoint is of a run with other samples or settings.

    Example:
        >>> from isospan.experiment.networks import ConvAutoencoder
        >>> history = fit(ConvAutoencoder(1, (8, 8), 2, width=4), torch.randn(8, 1, 8, 8), epochs=2, batch_size=4)
        >>> history.steps, list(history.losses)
        ([1, 2, 3, 4], ['task'])
    """
    samples = Samples(samples) if isinstance(samples, Tensor) else samples
    _check(epochs, lr, objective, quantities)
    total = epochs * steps_per_epoch(len(samples), batch_size)
    mean, std = field_statistics(samples, of=task.target)
    scale = std.to(device).reshape(-1, 1, 1)
    numbers = {"epochs": int(epochs), "batch_size": int(batch_size), "lr": float(lr), "seed": int(seed)}
    data = {
        "samples": len(samples),
        "deviation of the fields": [f"{value:.5g}" for value in std.tolist()],
        "mean of the fields over it": _decimals(mean / std),
    }
    settings = {**numbers, **data, "augment": bool(augment), "guidance": _guidance(objective)}
    _check_alike(settings)
    with seeded(seed + Shard.own().rank, device):
        generator = torch.Generator().manual_seed(seed)
        run = Run(
            model.to(device), objective, quantities, generator, scale, lr, total, settings, monitor=monitor, task=task
        )
        if checkpoints is not None and resume:
            _continue(run, checkpoints)
        elif checkpoints is not None:
            checkpoints.clear()
        while run.epoch < epochs:
            for batch, global_size in _remaining_batches(run, samples, batch_size, augment=augment):
                losses = run.train_step(batch.to(device), global_size)
                if progress is not None:
                    progress(run.epoch + 1, run.step, total, losses)
                if checkpoints is not None and checkpoints.due(run.step):
                    checkpoints.save(run.step, run.state())
            run.end_epoch()
            if validation is not None:
                run.history.add_validation(run.step, _validate(run, validation))
            if checkpoints is not None:
                checkpoints.save(run.step, run.state())
    return run.history


def _remaining_batches(run: Run, samples: Samples, batch_size: int, *, augment: bool) -> Iterator[tuple[Samples, int]]:
    """Yield the shards of the remaining batches of an epoch, with the sizes of the global batches.

    The batches of steps already taken are drawn again to advance the generator, and skipped.
    """

    def batches() -> Iterator[tuple[Samples, int]]:
        shards = shuffled_batches(samples, batch_size, generator=run.generator, shard=run.shard)
        for step, batch in enumerate(shards):
            size = min(batch_size, len(samples) - step * batch_size)
            if augment:
                batch = shifted(batch, generator=run.generator, shard=run.shard, global_size=size)
            yield batch, size

    return islice(batches(), run.step - run.epoch * steps_per_epoch(len(samples), batch_size), None)


def _continue(run: Run, checkpoints: Checkpoints) -> None:
    """Restore the newest checkpoint, if any."""
    saved = checkpoints.latest()
    if saved is not None:
        check_same_run(checkpoints.directory, saved.get("settings", {}), run.settings)
        run.restore(saved)


def _check_alike(settings: Mapping[str, Any]) -> None:
    """Require the same samples and settings of all processes. Each of them raises the error."""
    for rank, others in enumerate(Ranks().gather(settings)):
        if changed := differences(others, settings, where=("there", "here")):
            raise OptionError(
                f"All processes must be given the same samples and settings, got others on rank {rank} "
                f"({changed}). Pass all samples on every process; each takes its shard of every batch."
            )


def _decimals(values: Tensor) -> list[float]:
    """Round to 4 decimals: enough to distinguish data, and independent of the number of threads."""
    return [round(value, 4) + 0.0 for value in values.tolist()]  # 0.0 and not -0.0


def _guidance(objective: SpaceObjective | None) -> str:
    """The settings of the guidance, without its schedule."""
    if objective is None:
        return "none"
    names = "k method orthogonal separation decoders weights memory ridge".split()
    return repr({name: getattr(objective, name) for name in names} | {"strength": objective.balance.strength})


def _validate(run: Run, validation: Samples) -> dict[str, float]:
    """Held-out scores. Those of the quantities need a first solve."""
    solved = run.objective is not None and bool(run.objective.solve_steps)
    space = run.objective.space if run.objective is not None and solved else None
    return held_out_scores(
        read_out(run.model, validation, run.quantities, shard=run.shard, task=run.task), run.scale, space
    )


def _check(epochs: int, lr: float, objective: SpaceObjective | None, quantities: Quantities | None) -> None:
    if epochs < 1 or not lr > 0:
        raise OptionError(f"epochs must be at least 1 and lr positive, got epochs={epochs} and lr={lr}.")
    if objective is not None and quantities is None:
        raise MissingArgumentError(
            "An objective needs quantities, got none. Pass quantities=, a function from a batch to {name: tensor}."
        )
