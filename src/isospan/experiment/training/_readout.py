"""Passes of a network over samples, in evaluation mode: latents, moments, reconstruction error, scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

import torch
from torch import Tensor, nn

from isospan._core.modes import evaluating
from isospan._core.processes import Ranks
from isospan.errors import DegenerateDataError
from isospan.evaluation import stored_r2
from isospan.experiment.samples import Shard
from isospan.experiment.samples._samples import Samples, field_statistics, slices
from isospan.experiment.training._task import RECONSTRUCTION, Task
from isospan.moments import Moments
from isospan.subspaces import LatentSpace

Transform = Callable[[Samples, int], Samples]
"""Called as ``transform(batch, first)``, with the index of the first sample of the batch."""

Quantities = Callable[[Samples], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Readout:
    """The result of :func:`read_out`.

    Attributes:
        moments: moments of the latents and the quantities; None without quantities.
        squared_error: mean squared error (C,) of each channel.
    """

    moments: Moments | None
    squared_error: Tensor

    def __repr__(self) -> str:
        error = shorten(", ".join(f"{value:.4g}" for value in self.squared_error.tolist()), 80)
        names = shorten(", ".join(self.moments.target_dims), 80) if self.moments else "none"
        return f"Readout(squared_error=[{error}], moments of: {names})"


@torch.no_grad()
def read_out(
    model: nn.Module,
    samples: Samples,
    quantities: Quantities | None = None,
    *,
    target_covariance: bool = False,
    batch_size: int | None = None,
    shard: Shard | None = None,
    task: Task = RECONSTRUCTION,
) -> Readout:
    """Return the moments and the error of all samples. Memory does not grow with their number.

    Args:
        model: maps fields to (reconstruction, latents).
        samples: the samples, in memory or not.
        quantities: maps a batch to {name: (B, ...)}.
        target_covariance: whether the moments include the covariance between quantities.
        batch_size: samples in memory at a time; see :func:`isospan.experiment.samples.read_batches`.
        shard: the batches of this process. The result is summed over all processes.
        task: what the model is given, and what its output is compared with.

    Example:
        >>> from isospan.experiment.networks import ConvAutoencoder
        >>> samples, quantities = Samples(torch.randn(5, 1, 8, 8)), lambda batch: {"mean": batch.fields.mean((2, 3))}
        >>> out = read_out(ConvAutoencoder(1, (8, 8), 3, width=4), samples, quantities)
        >>> float(out.moments.count), out.squared_error.shape
        (5.0, torch.Size([1]))
    """
    moments, errors = None, []
    shard, rows = shard or Shard(), slices(samples, batch_size)
    with evaluating(model):
        for batch in _batches(model, samples, shard.of(rows)):
            output, z = model(task.input(batch))
            errors.append((output.double() - task.target(batch)).square().mean((2, 3)).sum(0))
            if quantities is not None:
                pair = z, quantities(batch)
                if moments is None:
                    moments = Moments.of_batches([pair], target_covariance=target_covariance)
                else:
                    moments.update(*pair)
    error = torch.stack(errors).sum(0)
    if shard.size > 1:
        _sum_over_processes_(moments, [error], ignored=shard.rank >= len(rows))
    return Readout(moments, error / len(samples))


@torch.no_grad()
def encoded_moments(
    model: nn.Module,
    samples: Samples,
    quantities: Quantities,
    *,
    transform: Transform | None = None,
    target_covariance: bool = False,
    batch_size: int | None = None,
    shard: Shard | None = None,
    task: Task = RECONSTRUCTION,
) -> Moments:
    """Return the moments of the latents and quantities of all samples, after ``transform``; see :func:`read_out`.

    Example:
        >>> from isospan.experiment.networks import ConvAutoencoder
        >>> model, samples = ConvAutoencoder(1, (8, 8), 3, width=4), Samples(torch.randn(5, 1, 8, 8))
        >>> encoded_moments(model, samples, lambda batch: {"mean": batch.fields.mean((2, 3))}).target_dims
        {'mean': 1}
    """
    shard, rows = shard or Shard(), slices(samples, batch_size)

    def encoded() -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
        for batch in _batches(model, samples, shard.of(rows), transform):
            yield model.encode(task.input(batch)), quantities(batch)  # type: ignore[operator]

    with evaluating(model):
        moments = Moments.of_batches(encoded(), target_covariance=target_covariance)
    if shard.size > 1:
        _sum_over_processes_(moments, [], ignored=shard.rank >= len(rows))
    return moments


@torch.no_grad()
def encode_samples(
    model: nn.Module, samples: Samples, *, batch_size: int | None = None, task: Task = RECONSTRUCTION
) -> Tensor:
    """Return the latents (N, D) of all samples.

    Example:
        >>> from isospan.experiment.networks import ConvAutoencoder
        >>> encode_samples(ConvAutoencoder(1, (8, 8), 3, width=4), Samples(torch.randn(5, 1, 8, 8))).shape
        torch.Size([5, 3])
    """
    with evaluating(model):
        batches = _batches(model, samples, slices(samples, batch_size))
        return torch.cat([model.encode(task.input(batch)) for batch in batches])  # type: ignore[operator]


def reconstruction_error(readout: Readout, samples: Samples) -> float:
    r"""Return the mean over channels of :math:`\overline{(\hat x_c - x_c)^2} / \operatorname{var} x_c`."""
    scale = field_statistics(samples)[1].to(readout.squared_error)
    return float((readout.squared_error / scale**2).mean())


def held_out_scores(readout: Readout, scale: Tensor, space: LatentSpace | None) -> dict[str, float]:
    r"""Return the task loss in units of ``scale`` (C,), and :math:`R^2` of each quantity by the stored decoder.

    Returns:
        ``{"task": ..., "r2 NAME": ...}``; NaN where a quantity is constant.
    """
    scores = {"task": float((readout.squared_error / scale.flatten().double() ** 2).mean())}
    if space is None or readout.moments is None:
        return scores
    return scores | {f"r2 {name}": _r2(space, readout.moments, name) for name in space.names}


def _batches(
    model: nn.Module, samples: Samples, rows: Sequence[slice], transform: Transform | None = None
) -> Iterator[Samples]:
    """Read batches in order, transform them, and move them to the device of the model."""
    device = next(model.parameters()).device
    for some in rows:
        batch = samples[some]
        yield (transform(batch, some.start) if transform else batch).to(device)


def _sum_over_processes_(moments: Moments | None, sums: list[Tensor], *, ignored: bool) -> None:
    """Sum moments and tensors over the processes, in place. A process without batches of its own counts as zero."""
    if moments is not None:
        moments.decay_(0.0 if ignored else 1.0).all_reduce_()
    if sums:
        torch._foreach_mul_(sums, 0.0 if ignored else 1.0)
        Ranks().sum_(sums)


def _r2(space: LatentSpace, moments: Moments, name: str) -> float:
    try:
        return stored_r2(space, moments, name)
    except DegenerateDataError:
        return float("nan")
