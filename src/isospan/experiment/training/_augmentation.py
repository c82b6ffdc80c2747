"""Augmentation of periodic fields: a random shift and flip of each sample."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from isospan.experiment.samples._samples import Samples
from isospan.experiment.samples._shards import Shard


@dataclass(frozen=True, eq=False)
class ShiftAndFlip:
    r"""A shift and flip of a periodic grid for each of B samples.

    Point (i, j) of the result is point :math:`(\pm i + s_i, \pm j + s_j)` of the field, modulo its size.

    Attributes:
        rows: source row (B, H) of each row.
        columns: source column (B, W) of each column.
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def draw(cls, batch: int, size: tuple[int, int], *, generator: torch.Generator, flips: bool = True) -> Self:
        """Draw shifts uniformly, and a flip of each axis with probability 1/2."""
        axes = [_axis(batch, length, generator, flips) for length in size]
        return cls(*axes)

    def __repr__(self) -> str:
        return f"ShiftAndFlip({len(self.rows)} samples of {self.rows.shape[1]} × {self.columns.shape[1]})"

    def __getitem__(self, samples: slice) -> Self:
        """Return the shifts and flips of a slice of the samples."""
        return type(self)(self.rows[samples], self.columns[samples])

    def __call__(self, x: Tensor) -> Tensor:
        """Shift and flip fields (B, C, H, W).

        Example:
            >>> shift = ShiftAndFlip(rows=torch.tensor([[0, 1]]), columns=torch.tensor([[2, 0, 1]]))
            >>> shift(torch.arange(6.0).view(1, 1, 2, 3))
            tensor([[[[2., 0., 1.],
                      [5., 3., 4.]]]])
        """
        rows, columns = self.rows.to(x.device), self.columns.to(x.device)
        flat = (rows[:, :, None] * x.shape[-1] + columns[:, None, :]).flatten(1)
        return x.flatten(2).gather(2, flat[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def shifted(
    samples: Samples, *, generator: torch.Generator, shard: Shard | None = None, global_size: int | None = None
) -> Samples:
    """Shift and flip the fields, together with their arrays of quantities.

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
    move = ShiftAndFlip.draw(batch, (height, width), generator=generator, flips=flips)
    move = move if shard is None else move[shard.rows(batch)]
    return Samples(move(fields), {name: move(values) for name, values in quantities.items()})


def can_shift(samples: Samples) -> bool:
    """Whether all arrays are fields on the same grid, so that they can be shifted together with the fields."""
    fields, quantities = samples[0:1].tensors()
    return all(values.dim() == 4 and values.shape[-2:] == fields.shape[-2:] for values in quantities.values())


def _axis(batch: int, length: int, generator: torch.Generator, flips: bool) -> Tensor:
    shift = torch.randint(length, (batch, 1), generator=generator)
    sign = 1 - 2 * torch.randint(2, (batch, 1), generator=generator) if flips else 1
    return (sign * torch.arange(length) + shift) % length
