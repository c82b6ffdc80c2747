"""A global batch of several processes: each holds a shard, and all get the moments of the batch."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from isospan._core.checks import LARGEST
from isospan._core.processes import Ranks
from isospan.errors import DegenerateDataError, IsospanError
from isospan.moments import Moments

Shapes = dict[str, tuple[int, ...]]


SMALL = 2**16
"""Entries of a batch whose values are copied side by side; of a larger one the copy costs more than it saves."""


class Batch(NamedTuple):
    """Flattened targets of this process, their shapes, and the moments of the global batch of several processes.

    ``rows`` (B, D + ΣP) has latents and targets side by side in float64, if the batch is small and nothing is unusual.
    Targets of samples that lack a quantity have NaN; the ``weights`` (B,) of the samples are None where all are 1.
    """

    flat: dict[str, Tensor]
    shapes: Shapes
    joint: Moments | None = None
    rows: Tensor | None = None
    weights: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """Targets (B, ΣP) of all quantities."""
        if self.rows is None:
            return torch.cat(list(self.flat.values()), 1)
        return self.rows[:, -sum([y.shape[1] for y in self.flat.values()]) :]

    def add_to(self, moments: Moments, z: Tensor, rows: slice = slice(None)) -> None:
        """Add these samples of the batch, of the latents z, to moments."""
        if self.rows is not None:
            moments.add_rows_(self.rows[rows])
        else:
            weights = None if self.weights is None else self.weights[rows]
            moments.add_(z[rows], {name: y[rows] for name, y in self.flat.items()}, weights=weights)


def usual_batch(z: Tensor, y: Mapping[str, Tensor], shapes: Shapes, latent_dim: int) -> Batch | None:
    """Return a small batch that is as the batches before it, or None: then a check one by one says what is wrong.

    Here the values of all tensors are checked together. Class labels, targets with a gradient, and tensors that
    ``torch.func`` transforms, are unusual, too.
    """
    if not shapes or not isinstance(y, Mapping) or y.keys() != shapes.keys() or peek_interpreter_stack() is not None:
        return None
    if not _is_plain(z) or z.dim() != 2 or z.is_meta:
        return None
    (n, entries), device, flat = z.shape, z.device, {}
    if entries != latent_dim or not n:
        return None
    for name, shape in shapes.items():
        y_q = y[name]
        if not _is_plain(y_q) or y_q.shape != (n, *shape) or y_q.requires_grad or y_q.device != device:
            return None
        flat[name] = y_q = y_q if len(shape) == 1 else y_q.reshape(n, -1)
        entries += y_q.shape[1]
    if n * entries > SMALL:
        return None
    rows = torch.cat([z.detach(), *flat.values()], 1).double()
    fits = float(torch.linalg.vector_norm(rows, inf)) <= LARGEST  # not of NaN
    return Batch(flat, shapes, rows=rows) if fits else None


def _is_plain(x: Tensor) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.layout is torch.strided


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
        batch.add_to(joint, z)
    flags = joint.count.new_tensor([error is not None, batch.weights is not None])
    joint.sum_(ranks, also=(flags, *also))
    refused, weighted = flags.tolist()
    if refused:
        ranks.raise_first(error)
    if weighted and batch.weights is None:
        batch = batch._replace(weights=flags.new_ones(len(z)))
    if (n := float(joint.count)) < min_samples and not (weighted and n > 0):
        raise DegenerateDataError(
            f"At least {min_samples} samples are needed, got {n:g} on all processes together. Pass a larger batch."
        )
    return batch._replace(joint=joint)
