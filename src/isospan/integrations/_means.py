"""Means of the losses of many batches, for a log that is written now and then."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from isospan._core.processes import Ranks

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Means:
    """Means of named losses over the batches since they were last read, weighed by the samples of each.

    Adding waits for no device; reading does.

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

    def add(self, losses: Mapping[str, Tensor], *, samples: int) -> None:
        """Take in the losses of a batch, which are means over so many samples."""
        for name, loss in losses.items():
            weighed = samples * loss.detach()
            self._sums[name] = self._sums[name] + weighed if name in self._sums else weighed
            self._samples[name] = self._samples.get(name, 0) + samples

    def all_reduce_(self, group: "ProcessGroup | None" = None) -> Self:
        """Take together what the processes of the group have added; all of them call it, also one that has nothing."""
        parts = Ranks(group).gather({name: (float(total), self._samples[name]) for name, total in self._sums.items()})
        found = {name: [part[name] for part in parts if name in part] for part in parts for name in part}
        self._sums = {
            name: torch.tensor(sum(total for total, _ in of_parts), dtype=torch.float64)
            for name, of_parts in found.items()
        }
        self._samples = {name: sum(samples for _, samples in of_parts) for name, of_parts in found.items()}
        return self

    def read(self) -> dict[str, float]:
        """Return the means and begin anew."""
        means = {name: float(total) / self._samples[name] for name, total in self._sums.items()}
        self._sums, self._samples = {}, {}
        return means
