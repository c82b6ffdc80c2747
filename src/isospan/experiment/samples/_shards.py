"""Shards: the rows of a global batch that one of several processes takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from isospan._core.processes import Ranks

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One of ``size`` shards. Their lengths differ by at most one.

    Attributes:
        rank: of the process, from 0.
        size: number of processes.

    Example:
        >>> [Shard(rank, 3).count(8) for rank in range(3)]
        [2, 3, 3]
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def own(cls) -> Self:
        """Return the shard of this process; all rows without ``torch.distributed``."""
        return cls(Ranks().rank, Ranks().size)

    def count(self, n: int) -> int:
        """Return how many of n rows are in this shard."""
        return n * (self.rank + 1) // self.size - n * self.rank // self.size

    def rows(self, n: int) -> slice:
        """Return the rows of this shard, of n ≥ 1 in all.

        An empty shard returns one row, which the caller ignores: not every network accepts an empty batch.

        Example:
            >>> [Shard(rank, 3).rows(2) for rank in range(3)]
            [slice(0, 1, None), slice(0, 1, None), slice(1, 2, None)]
        """
        first = n * self.rank // self.size
        return slice(first, first + max(1, self.count(n)))

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return items ``rank``, ``rank + size``, ... An empty shard returns the first item, which the caller ignores.

        Example:
            >>> [Shard(rank, 3).of("abcd") for rank in range(3)], Shard(2, 3).of("ab")
            (['ad', 'b', 'c'], 'a')
        """
        return items[self.rank :: self.size] or items[:1]
