"""Random shifts and reflections of periodic fields: each sample becomes as many as the box has symmetries."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from isospan.experiment.samples._samples import Samples
from isospan.experiment.samples._shards import Part


@dataclass(frozen=True, eq=False)
class Displacement:
    r"""One shift and reflection of a periodic grid for each of B samples.

    Point (i, j) of the result is point :math:`(\pm i + s_i, \pm j + s_j)` of the field, modulo its size.

    Attributes:
        rows: source row (B, H) of each row.
        columns: source column (B, W) of each column.
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def draw(cls, batch: int, size: tuple[int, int], *, generator: torch.Generator, reflections: bool = True) -> Self:
        """Draw shifts uniformly, and each axis reflected or not with equal odds."""
        axes = [_axis(batch, length, generator, reflections) for length in size]
        return cls(*axes)

    def __getitem__(self, samples: slice) -> Self:
        """Those of some of the samples."""
        return type(self)(self.rows[samples], self.columns[samples])

    def __call__(self, x: Tensor) -> Tensor:
        """Displace fields (B, C, H, W).

        Example:
            >>> turn = Displacement(rows=torch.tensor([[0, 1]]), columns=torch.tensor([[2, 0, 1]]))
            >>> turn(torch.arange(6.0).view(1, 1, 2, 3))
            tensor([[[[2., 0., 1.],
                      [5., 3., 4.]]]])
        """
        rows, columns = self.rows.to(x.device), self.columns.to(x.device)
        flat = (rows[:, :, None] * x.shape[-1] + columns[:, None, :]).flatten(1)
        return x.flatten(2).gather(2, flat[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def displaced(
    samples: Samples, *, generator: torch.Generator, part: Part | None = None, whole: int | None = None
) -> Samples:
    """Displace the fields and, with them, what is known of them.

    Reflections are left out where there is more than one channel or a known array: the components of a vector, and a
    vorticity, change sign under them, and a file does not say which it holds.

    Args:
        samples: in memory, for which :func:`can_displace` holds.
        generator: of the shifts and reflections.
        part: which part of a batch the samples are, where they are displaced as in the batch.
        whole: how many samples the batch has.
    """
    fields, known = samples.tensors()
    height, width = fields.shape[-2:]
    reflections = fields.shape[1] == 1 and not known
    batch = len(fields) if whole is None else whole
    move = Displacement.draw(batch, (height, width), generator=generator, reflections=reflections)
    move = move if part is None else move[part.rows(batch)]
    return Samples(move(fields), {name: move(values) for name, values in known.items()})


def can_displace(samples: Samples) -> bool:
    """Whether everything that is known are fields on the same grid, so that it can be displaced with the fields."""
    fields, known = samples[0:1].tensors()
    return all(values.dim() == 4 and values.shape[-2:] == fields.shape[-2:] for values in known.values())


def _axis(batch: int, length: int, generator: torch.Generator, reflections: bool) -> Tensor:
    shift = torch.randint(length, (batch, 1), generator=generator)
    sign = 1 - 2 * torch.randint(2, (batch, 1), generator=generator) if reflections else 1
    return (sign * torch.arange(length) + shift) % length
