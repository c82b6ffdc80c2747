"""Which part of a whole falls to one of several processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch.distributed as dist

from isospan._core.processes import Ranks

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One of ``size`` parts, as equal as can be, of whatever the processes share.

    Attributes:
        rank: which.
        size: how many there are.

    Example:
        >>> [Part(rank, 3).count(8) for rank in range(3)]
        [2, 3, 3]
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def own(cls) -> Self:
        """Return the part of this process; the whole where ``torch.distributed`` is not initialised."""
        size = Ranks().size
        return cls(dist.get_rank() if size > 1 else 0, size)

    def count(self, n: int) -> int:
        """Return how many of n rows are in this part."""
        return n * (self.rank + 1) // self.size - n * self.rank // self.size

    def rows(self, n: int) -> slice:
        """Return the rows to read, of n ≥ 1: those of this part, and one to be ignored where it has none.

        So a network never sees an empty batch, which not every one can take.

        Example:
            >>> [Part(rank, 3).rows(2) for rank in range(3)]
            [slice(0, 1, None), slice(0, 1, None), slice(1, 2, None)]
        """
        first = n * self.rank // self.size
        return slice(first, first + max(1, self.count(n)))

    def dealt(self, things: Sequence[T]) -> Sequence[T]:
        """Return every ``size``-th of some things; the first, to be ignored, where none is left for this part.

        Example:
            >>> [Part(rank, 3).dealt("abcd") for rank in range(3)], Part(2, 3).dealt("ab")
            (['ad', 'b', 'c'], 'a')
        """
        return things[self.rank :: self.size] or things[:1]
