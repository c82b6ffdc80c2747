"""Means of losses over several batches, for a log."""

from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from isospan._core.processes import Ranks

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Means:
    """Means of named losses over the batches since the last read, weighted by their numbers of samples.

    Only :meth:`read` and :meth:`all_reduce_` synchronize the device.

    Example:
        >>> import torch
        >>> means = Means()
        >>> means.add({"task": torch.tensor(1.0)}, samples=30)
        >>> means.add({"task": torch.tensor(4.0), "alignment": torch.tensor(0.5)}, samples=10)
        >>> means.read(), means.read()
        ({'task': 1.75, 'alignment': 0.5}, {})
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._samples: dict[str, int] = {}

    def __repr__(self) -> str:
        texts = (f"{name} of {samples} samples" for name, samples in self._samples.items())
        return f"Means({shorten(', '.join(texts), 150, placeholder=' …')})"

    def add(self, losses: Mapping[str, Tensor], *, samples: int) -> None:
        """Add the losses of a batch, which are means over its samples."""
        for name, loss in losses.items():
            total = samples * loss.detach()
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._samples[name] = self._samples.get(name, 0) + samples

    def all_reduce_(self, group: "ProcessGroup | None" = None) -> Self:
        """Sum over the processes of the group. All of them call it, even without losses of their own."""
        shards = Ranks(group).gather({name: (float(total), self._samples[name]) for name, total in self._sums.items()})
        found = {name: [shard[name] for shard in shards if name in shard] for shard in shards for name in shard}
        self._sums = {
            name: torch.tensor(sum(total for total, _ in pairs), dtype=torch.float64) for name, pairs in found.items()
        }
        self._samples = {name: sum(samples for _, samples in pairs) for name, pairs in found.items()}
        return self

    def read(self) -> dict[str, float]:
        """Return the means, and clear them."""
        means = {name: float(total) / self._samples[name] for name, total in self._sums.items()}
        self._sums, self._samples = {}, {}
        return means
