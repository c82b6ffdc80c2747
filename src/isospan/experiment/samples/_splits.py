"""Holding out samples to test on, in contiguous blocks, so that neighbours in time do not leak."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from isospan.errors import DegenerateDataError, OptionError
from isospan.experiment.samples._samples import Rows, Samples, concatenate, consecutive


def hold_out(samples: Samples, fraction: float, *, blocks: int = 1) -> tuple[Samples, Samples]:
    """Split into samples to train on and samples to test on.

    The samples are cut into ``blocks`` equal blocks, and the end of each is held out. One block holds out the end of
    all samples: for a time series the strictest test, and with a trend a test of extrapolation.

    Args:
        samples: in order. What is not in memory is not read.
        fraction: fraction to hold out, in (0, 1).
        blocks: number of blocks; fewer where a block could not hold out two samples.

    Returns:
        (train, test), each in the order of the samples.

    Raises:
        OptionError: the fraction is not between 0 and 1, or ``blocks`` is below 1.
        DegenerateDataError: fewer than two samples would be left to train on.

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
            f"At least 2 samples to train on and 2 to test on are needed, got {n} with the fraction {fraction} held "
            "out. Pass more samples."
        )
    return select(samples, train), select(samples, test)


def select(samples: Samples, ranges: Sequence[range]) -> Samples:
    """Return the samples of some ranges, one after the other."""
    ranges = tuple(some for some in ranges if some)

    def selected(rows: Rows) -> Rows:
        if not isinstance(rows, Tensor):
            return RowRanges(rows, ranges)
        found = [rows[some.start : some.stop] for some in ranges]
        return found[0] if len(found) == 1 else torch.cat(found)

    return samples.map(selected)


def spread(samples: Samples, count: int) -> Samples:
    """Return at most ``count`` samples at equal distances, none at an end if there are more; in memory.

    Example:
        >>> spread(Samples(torch.arange(9.0).view(9, 1, 1, 1)), 3).fields.flatten()
        tensor([2., 4., 6.])
    """
    return concatenate([samples[some.start : some.stop] for some in spread_ranges(len(samples), count)])


def spread_ranges(n: int, count: int) -> list[range]:
    """Return the ranges of at most ``count`` of n samples at equal distances.

    Example:
        >>> spread_ranges(9, 3), spread_ranges(3, 9)
        ([range(2, 3), range(4, 5), range(6, 7)], [range(0, 3)])
    """
    if n <= count:
        return [range(n)]
    return [range(i, i + 1) for i in torch.linspace(0, n - 1, count + 2)[1:-1].long().tolist()]


@dataclass(frozen=True, eq=False)
class RowRanges:
    """Some ranges of rows, read only when they are sliced."""

    rows: Rows
    ranges: tuple[range, ...]

    def __len__(self) -> int:
        """Return the number of rows in the ranges."""
        return sum(map(len, self.ranges))

    def __getitem__(self, rows: slice) -> Tensor:
        """Read a slice of the rows in the ranges."""
        rows = consecutive(rows, len(self))
        found, before = [], 0
        for some in self.ranges:
            wanted = some[max(0, rows.start - before) : max(0, rows.stop - before)]
            found += [self.rows[wanted.start : wanted.stop]] if wanted else []
            before += len(some)
        return torch.cat(found) if found else self.rows[0:0]

    def __repr__(self) -> str:
        return f"RowRanges({len(self)} rows in {len(self.ranges)} ranges of {self.rows!r})"
