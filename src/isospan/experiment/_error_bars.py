"""Error bars of decoded quantities from held-out samples."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from isospan._core.labels import encoded
from isospan._core.missing import Missing
from isospan.errors import OptionError
from isospan.experiment.samples import Samples, read_batches, select
from isospan.experiment.samples._splits import spread_ranges
from isospan.subspaces import LatentSpace

SAMPLES = 2048
"""Most held-out samples that calibrate."""
LEVEL = 0.9
"""Level of the intervals that a report shows."""


class Interval(NamedTuple):
    """A quantity of held-out samples, its decoded value and its interval, each (N, P).

    The intervals of one half of the samples are calibrated on the other half.

    Example:
        >>> true = torch.tensor([[1.0], [2.0]])
        >>> Interval(true, true + 1, true, true + 2).coverage, Interval(true, true + 2, true + 1, true + 3).coverage
        (1.0, 0.0)
    """

    true: Tensor
    decoded: Tensor
    low: Tensor
    high: Tensor

    @property
    def inside(self) -> Tensor:
        """Whether each entry is in its interval (N, P)."""
        return (self.low <= self.true) & (self.true <= self.high)

    @property
    def coverage(self) -> float:
        """The fraction of entries in their intervals."""
        return float(self.inside.double().mean())


@torch.no_grad()
def calibrated(
    space: LatentSpace,
    held_out: Samples,
    encode: Callable[[Samples], Tensor],
    quantities: Callable[[Samples], Mapping[str, Tensor]],
    *,
    missing: Missing = "raise",
) -> tuple[LatentSpace, dict[str, Interval]]:
    """Return the space with error bars from at most 2048 held-out samples, and intervals at a level of 0.9.

    There are no intervals where half of the samples are too few for the level, and with ``missing="skip"`` no error
    bars from held-out samples where none has some quantity.
    """
    used = select(held_out, spread_ranges(len(held_out), SAMPLES))
    latents, targets = [], []
    for batch in read_batches(used):
        latents.append(encode(batch).double())
        targets.append(quantities(batch))
    z = torch.cat(latents)
    y = {name: torch.cat([part[name] for part in targets]).to(z.device) for name in space.names}
    y = encoded(y, space.classes, missing=missing)
    if missing == "skip" and not all(_labelled(values).any() for values in y.values()):
        return space, {}
    return space.calibrate(z, y, missing=missing), _cross_fitted(space, z, y, missing)


def _labelled(values: Tensor) -> Tensor:
    """Whether each sample (N,) has a quantity."""
    return ~values.unsqueeze(-1).isnan().flatten(1).any(1)


def _cross_fitted(space: LatentSpace, z: Tensor, y: Mapping[str, Tensor], missing: Missing) -> dict[str, Interval]:
    """Intervals of every second sample from the others, and of the others from these."""
    halves = [slice(0, None, 2), slice(1, None, 2)]
    parts: dict[str, list[list[Tensor]]] = {name: [] for name in space.names}
    for scored, fitted in (halves, halves[::-1]):
        if not all(_labelled(values[fitted]).any() for values in y.values()):
            return {}
        calibrated = space.calibrate(z[fitted], {name: values[fitted] for name, values in y.items()}, missing=missing)
        try:
            low, high = calibrated.interval(z[scored], level=LEVEL)
        except OptionError:  # too few samples for the level
            return {}
        decoded = calibrated.decode(z[scored])
        for name, values in y.items():
            rows = _labelled(values[scored])
            found = [t[rows] for t in (values[scored], decoded[name], low[name], high[name])]
            parts[name].append([part.double().reshape(len(part), -1).cpu() for part in found])
    return {name: Interval(*map(torch.cat, zip(*pair, strict=True))) for name, pair in parts.items()}
