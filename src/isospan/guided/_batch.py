"""A global batch of several processes: each holds a shard, and all get the moments of the batch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from isospan._core.processes import Ranks
from isospan.errors import DegenerateDataError, IsospanError
from isospan.moments import Moments

Shapes = dict[str, tuple[int, ...]]


class Batch(NamedTuple):
    """Flattened targets of this process, their shapes, the moments of the global batch of several processes, weights.

    Targets of samples that lack a quantity have NaN; the weights (B,) of the samples are None where all are 1.
    """

    flat: dict[str, Tensor]
    shapes: Shapes
    joint: Moments | None = None
    weights: Tensor | None = None


@torch.no_grad()
def joint_batch(
    check: Callable[[], Batch],
    empty: Callable[[Shapes], Moments],
    z: Tensor,
    ranks: Ranks,
    *,
    known: Shapes,
    also: Sequence[Tensor] = (),
    min_samples: int = 2,
) -> Batch:
    """Return the checked batch with the moments over all processes; what one process refuses is raised by all.

    A refusal travels with the first message, so no process waits for one that has raised.

    Args:
        check: returns the batch of this process or raises; a process may have no samples.
        empty: makes moments of targets of these shapes.
        z: latents of this process.
        ranks: the processes.
        known: the shapes of targets, the same on every process; empty before the first batch.
        also: float64 tensors that are summed with the first message, in place.
        min_samples: that all processes together must have.
    """
    batch, error = Batch({}, known), None
    try:
        batch = check()
    except IsospanError as refusal:
        error = refusal
    if not known:
        ranks.raise_first(error)
        ranks.check_equal(list(batch.shapes.items()), what="The shapes of targets")
    joint = empty(batch.shapes)
    if error is None and len(z):
        joint.add_(z, batch.flat, weights=batch.weights)
    refused = torch.full_like(joint.count, error is not None)
    joint.sum_(ranks, also=(refused, *also))
    if refused:
        ranks.raise_first(error)
    if (n := float(joint.count)) < min_samples and not (n > 0 and any(ranks.gather(batch.weights is not None))):
        raise DegenerateDataError(
            f"At least {min_samples} samples are needed, got {float(joint.count):g} on all processes together. Pass a "
            "larger batch."
        )
    return batch._replace(joint=joint)
