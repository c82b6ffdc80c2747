"""Holding out samples to test on, in contiguous stretches, so that neighbours in time do not leak."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from isospan.errors import DegenerateDataError, OptionError
from isospan.experiment.samples._samples import Rows, Samples, consecutive


def hold_out(samples: Samples, fraction: float, *, blocks: int = 1) -> tuple[Samples, Samples]:
    """Split into samples to train on and samples to test on.

    The samples are cut into ``blocks`` equal stretches, and the tail of each is held out. One block holds out the tail
    of all: the strictest test where samples are a time series, and a test of extrapolation where it has a trend.

    Args:
        samples: in their order; what is not in memory stays where it is.
        fraction: share to hold out, in (0, 1).
        blocks: number of stretches, fewer where each could not hold out two samples.

    Returns:
        (train, test), each in the order of the samples.

    Raises:
        OptionError: the fraction is not between 0 and 1, or there is no block.
        DegenerateDataError: a part would have fewer than two samples.

    Example:
        >>> samples = Samples(torch.arange(10.0).view(10, 1, 1, 1))
        >>> [part.fields.flatten().tolist() for part in hold_out(samples, 0.4, blocks=2)]
        [[0.0, 1.0, 2.0, 5.0, 6.0, 7.0], [3.0, 4.0, 8.0, 9.0]]
    """
    if not 0 < fraction < 1 or blocks < 1:
        raise OptionError(
            f"The fraction held out must be between 0 and 1 and the blocks at least 1, got {fraction} and {blocks}. "
            "0.2 holds out a fifth."
        )
    n = len(samples)
    blocks = max(1, min(blocks, int(fraction * n) // 2))
    edges = [round(i * n / blocks) for i in range(blocks + 1)]
    middles = [last - max(2, round(fraction * (last - first))) for first, last in pairwise(edges)]
    train = [range(first, middle) for first, middle in zip(edges, middles, strict=False)]
    test = [range(middle, last) for middle, last in zip(middles, edges[1:], strict=True)]
    if sum(map(len, train)) < 2:
        raise DegenerateDataError(
            f"At least 2 samples to train on and 2 to test on are needed, got {n} with {fraction} held out. "
            "Pass more samples."
        )
    return select(samples, train), select(samples, test)


def select(samples: Samples, stretches: Sequence[range]) -> Samples:
    """Keep some stretches of samples, one after the other."""
    fields, *known = [_select(rows, stretches) for rows in (samples.fields, *samples.known.values())]
    return Samples(fields, dict(zip(samples.known, known, strict=True)))


@dataclass(frozen=True, eq=False)
class Stretches:
    """Some stretches of a table, which are read when they are asked for."""

    rows: Rows
    stretches: tuple[range, ...]

    def __len__(self) -> int:
        """Number of rows kept."""
        return sum(map(len, self.stretches))

    def __getitem__(self, rows: slice) -> Tensor:
        """Read a slice of the rows kept."""
        rows = consecutive(rows, len(self))
        pieces, before = [], 0
        for stretch in self.stretches:
            part = stretch[max(0, rows.start - before) : max(0, rows.stop - before)]
            pieces += [self.rows[part.start : part.stop]] if part else []
            before += len(stretch)
        return torch.cat(pieces) if pieces else self.rows[0:0]


def _select(rows: Rows, stretches: Sequence[range]) -> Rows:
    stretches = [stretch for stretch in stretches if stretch]
    if not isinstance(rows, Tensor):
        return Stretches(rows, tuple(stretches))
    pieces = [rows[stretch.start : stretch.stop] for stretch in stretches]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
