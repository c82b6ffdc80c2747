"""Augmentation of periodic fields: a random shift and flip of each sample."""

import torch
from torch import Tensor

from isospan.experiment.samples import Samples, Shard


def shifted(
    samples: Samples, *, generator: torch.Generator, shard: Shard | None = None, global_size: int | None = None
) -> Samples:
    r"""Shift and flip the fields, together with their arrays of quantities.

    Point (i, j) of a result is point :math:`(\pm i + s_i, \pm j + s_j)` of the field, modulo its size. For each sample
    s is drawn uniformly, and each sign with probability 1/2.

    Fields with several channels, or with arrays, are only shifted: a flip changes the sign of a vector component and of
    a vorticity, and a file does not say which of its arrays are such.

    Args:
        samples: in memory, for which :func:`can_shift` holds.
        generator: generator of the shifts and flips.
        shard: the shard of a global batch that the samples are. Their shifts do not depend on the number of shards.
        global_size: number of samples of the global batch; by default that of ``samples``.
    """
    fields, quantities = samples.tensors()
    height, width = fields.shape[-2:]
    flips = fields.shape[1] == 1 and not quantities
    batch = len(fields) if global_size is None else global_size
    rows, columns = (_source_indices(batch, length, generator, flips) for length in (height, width))
    points = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    points = points if shard is None else points[shard.rows(batch)]
    return samples.map(lambda values: _taken(values, points))


def can_shift(samples: Samples) -> bool:
    """Whether all arrays are fields on the same grid, so that they can be shifted together with the fields."""
    fields, quantities = samples[0:1].tensors()
    return all(values.dim() == 4 and values.shape[-2:] == fields.shape[-2:] for values in quantities.values())


def _taken(x: Tensor, points: Tensor) -> Tensor:
    """Return fields (B, C, H, W) at the points (B, H · W) of each sample."""
    return x.flatten(2).gather(2, points.to(x.device)[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def _source_indices(batch: int, length: int, generator: torch.Generator, flips: bool) -> Tensor:
    """Return the index (B, length) of each sample from which an entry along an axis is taken."""
    shift = torch.randint(length, (batch, 1), generator=generator)
    sign = 1 - 2 * torch.randint(2, (batch, 1), generator=generator) if flips else 1
    return (sign * torch.arange(length) + shift) % length
