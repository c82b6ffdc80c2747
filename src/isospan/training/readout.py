"""What a network makes of samples, in evaluation mode: latents, quantities, reconstruction error, held-out scores."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isospan.errors import DegenerateDataError
from isospan.guided.latent_space import LatentSpace
from isospan.guided.scores import r_squared
from isospan.training.samples import Samples, field_statistics, read_batches

Quantities = Callable[[Samples], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Readout:
    """Latents (N, D) of all samples, their quantities {name: (N, ...)}, and the mean squared error (C,) per channel."""

    z: Tensor
    y: dict[str, Tensor]
    squared_error: Tensor


@torch.no_grad()
def read_out(
    model: nn.Module, samples: Samples, quantities: Quantities | None = None, *, batch_size: int = 256
) -> Readout:
    """Run all samples through an autoencoder, in their order. The fields need not fit in memory, the results do.

    Example:
        >>> from isospan.training import ConvAutoencoder
        >>> out = read_out(ConvAutoencoder(1, (8, 8), 3, width=4), Samples(torch.randn(5, 1, 8, 8)))
        >>> out.z.shape, out.squared_error.shape
        (torch.Size([5, 3]), torch.Size([1]))
    """
    device = next(model.parameters()).device
    latents, targets, errors = [], [], []
    with evaluating(model):
        for batch in read_batches(samples, batch_size):
            batch = batch.to(device)
            x, _ = batch.tensors()
            x_hat, z = model(x)
            latents.append(z)
            targets.append(quantities(batch) if quantities else {})
            errors.append((x_hat.double() - x).square().mean((2, 3)))
    y = {name: torch.cat([batch[name] for batch in targets]) for name in targets[0]}
    return Readout(torch.cat(latents), y, torch.cat(errors).mean(0))


@torch.no_grad()
def encode_samples(
    model: nn.Module,
    samples: Samples,
    quantities: Quantities | None = None,
    *,
    transform: Callable[[Samples], Samples] | None = None,
    batch_size: int = 256,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents (N, D) and quantities {name: (N, ...)} of all samples, each batch transformed before.

    Example:
        >>> from isospan.training import ConvAutoencoder
        >>> encode_samples(ConvAutoencoder(1, (8, 8), 3, width=4), Samples(torch.randn(5, 1, 8, 8)))[0].shape
        torch.Size([5, 3])
    """
    device = next(model.parameters()).device
    latents, targets = [], []
    with evaluating(model):
        for batch in read_batches(samples, batch_size):
            batch = (transform(batch) if transform else batch).to(device)
            latents.append(model.encode(batch.tensors()[0]))  # type: ignore[operator]
            targets.append(quantities(batch) if quantities else {})
    return torch.cat(latents), {name: torch.cat([y[name] for y in targets]) for name in targets[0]}


def reconstruction_error(readout: Readout, samples: Samples) -> float:
    r"""Error over variance, mean over channels of :math:`\overline{(\hat x_c - x_c)^2} / \operatorname{var} x_c`."""
    scale = field_statistics(samples)[1].to(readout.squared_error)
    return float((readout.squared_error / scale**2).mean())


def held_out_scores(readout: Readout, scale: Tensor, space: LatentSpace | None) -> dict[str, float]:
    r"""The task loss in units of ``scale`` (C,), and :math:`R^2` of each quantity by the space's own decoder.

    Returns:
        ``{"task": ..., "r2 NAME": ...}``; NaN where a quantity is constant, so that training goes on.
    """
    scores = {"task": float((readout.squared_error / scale.flatten().double() ** 2).mean())}
    decoded = {} if space is None else space.decode(readout.z)
    return scores | {f"r2 {name}": _r2(readout.y[name], y_hat) for name, y_hat in decoded.items()}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode inside the block and back afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _r2(y: Tensor, y_hat: Tensor) -> float:
    try:
        return r_squared(y, y_hat)
    except DegenerateDataError:
        return float("nan")
