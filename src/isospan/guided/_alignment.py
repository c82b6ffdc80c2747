"""How well the quantities are read, about running means: the default term of the guidance."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from isospan._core.autocast import full_precision
from isospan._core.checks import working_dtype
from isospan._core.processes import Ranks
from isospan.guided._batch import Batch
from isospan.guided._solution import Solution
from isospan.guided.losses._precomputed_gradient import with_precomputed_gradient
from isospan.moments import Moments, filled, present


def inputs_of_alignment(
    z: Tensor, batch: Batch, solution: Solution, ranks: Ranks, count: float, *, weighted: bool
) -> dict[str, Any]:
    """Return the inputs of :func:`alignment` as copies, each entry times the root of its weight in the loss.

    A solve before the backward pass then changes nothing. A batch is ``weighted`` where samples have weights or may
    lack quantities.
    """
    dtype, share, value = working_dtype(z), 1.0, None
    if batch.joint is not None:
        share = z.shape[0] / count
        z, value = ranks.for_average(z), error_of_moments(batch.joint, solution)
    inputs: dict[str, Any] = {"share": share}
    if weighted:
        batch, roots = _roots_of_weights(batch)
        inputs = {"roots": roots.to(dtype)}
    targets = batch.targets.sub(solution.target_offset).mul(solution.target_factor).to(dtype)
    offset, reader = solution.in_precision(dtype)
    return inputs | {"z": z, "offset": offset, "reader": reader, "targets": targets, "value": value}


def _roots_of_weights(batch: Batch) -> tuple[Batch, Tensor]:
    r"""Return the batch without NaN, and :math:`\sqrt{B w_i / n_q}` (B, ΣP), 0 where a sample lacks the quantity.

    The loss is then for each quantity a weighted mean over the samples of the global batch that have it, with the sum
    :math:`n_q` of their weights. One that no sample has adds nothing.
    """
    some = next(iter(batch.flat.values()))
    weights = some.new_ones(len(some), dtype=torch.float64) if batch.weights is None else batch.weights
    masks = present(batch.flat)
    columns = []
    for name, y in batch.flat.items():
        own = weights * masks[name]
        total = own.sum() if batch.joint is None else batch.joint.labelled(name).count
        share = own / total.clamp(min=torch.finfo(torch.float64).tiny)
        columns.append((len(own) * share).sqrt().unsqueeze(1).expand_as(y))
    return batch._replace(flat=filled(batch.flat, masks)), torch.cat(columns, 1)


def alignment(
    z: Tensor,
    offset: Tensor,
    reader: Tensor,
    targets: Tensor,
    share: float = 1.0,
    value: Tensor | None = None,
    roots: Tensor | None = None,
) -> Tensor:
    r"""Return the mean square of the entries of :math:`(z - o) R - t`.

    Args:
        z: latents (B, D), those of this process.
        offset: o (D,), the running mean up to rounding.
        reader: R (D, ΣP).
        targets: t (B, ΣP).
        share: of this process in the samples of the global batch, over which the mean is taken.
        value: the loss of the global batch, of which this process has the gradient of its shard.
        roots: factors of the entries (B, ΣP); by default 1.
    """
    zc = z - offset
    if not zc.shape[0]:
        loss = zc.sum().to(reader.dtype)
    elif torch.is_autocast_enabled(z.device.type):  # a backward pass within autocast would lower its products, too
        with full_precision(z):
            loss = with_precomputed_gradient(partial(_mean_square, reader, roots), zc, targets, traceable=True)
    else:
        loss = mse_loss(zc @ reader, targets) if roots is None else ((zc @ reader - targets) * roots).square().mean()
    if value is None:
        return loss
    loss = loss * share
    return value.to(loss.dtype) + (loss - loss.detach())  # the same bits on all processes


def _mean_square(
    reader: Tensor, roots: Tensor | None, needed: Sequence[bool], zc: Tensor, targets: Tensor
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Return the loss and its gradients in centred latents and targets."""
    error = torch.addmm(targets, zc, reader, beta=-1)
    error = error if roots is None else error * roots
    slope = error * (2 / error.numel())
    slope = slope if roots is None else slope * roots
    return error.square().mean(), (slope @ reader.mT if needed[0] else None, -slope if needed[1] else None)


def error_of_moments(batch: Moments, solution: Solution) -> Tensor:
    r"""Return the loss of a batch from its moments, in the notation of :func:`alignment`, with P entries t = (y - p) f.

    .. math:: \tfrac1{nP} \sum \| (z - o) R - t \|^2 = \tfrac1P \bigl( \operatorname{tr}(R^\top C_{zz} R
              - 2 R^\top C_{zt} + C_{tt}) + \| (m_z - o) R - m_t \|^2 \bigr)

    Where samples lack some quantities, the entries of each are from the moments of the samples that have it.
    """
    z_offset, stacked = solution.z_offset, (solution.reader, solution.target_factor, solution.target_offset)
    if batch.missing == "raise":
        return _squares(batch, z_offset, *stacked) / len(solution.target_factor)
    split = zip(*(tensor.split(list(solution.dims.values()), -1) for tensor in stacked), strict=True)
    own = [(batch.labelled(name), parts) for name, parts in zip(solution.dims, split, strict=True)]
    errors = [_squares(labelled, z_offset, *parts) for labelled, parts in own if float(labelled.count) > 0]
    return torch.stack([z_offset.new_zeros(()), *errors]).sum() / len(solution.target_factor)


def _squares(batch: Moments, z_offset: Tensor, reader: Tensor, factor: Tensor, target_offset: Tensor) -> Tensor:
    """Return the sum over the entries of the mean squares over the samples of a batch."""
    squares = ((batch.scatter_zz @ reader - 2 * batch.scatter_zy * factor) * reader).sum() / batch.count
    offset = (batch.z_mean - z_offset) @ reader - (batch.target_mean - target_offset) * factor
    varied = (squares + (batch.target_variance * factor.square()).sum()).clamp(min=0)
    return varied + offset.square().sum()
