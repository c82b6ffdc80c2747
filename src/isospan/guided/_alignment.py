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
from isospan.moments import Moments


def inputs_of_alignment(z: Tensor, batch: Batch, solution: Solution, ranks: Ranks, count: float) -> dict[str, Any]:
    """Return the inputs of :func:`alignment` as copies, each entry times the root of its weight in the loss.

    A solve before the backward pass then changes nothing.
    """
    dtype, share, value = working_dtype(z), 1.0, None
    if batch.joint is not None:
        share = z.shape[0] / count
        z, value = ranks.for_average(z), error_of_moments(batch.joint, solution)
    targets = batch.targets.sub(solution.target_offset).mul(solution.target_factor).to(dtype)
    offset, reader = solution.in_precision(dtype)
    return {"z": z, "offset": offset, "reader": reader, "targets": targets, "share": share, "value": value}


def alignment(
    z: Tensor, offset: Tensor, reader: Tensor, targets: Tensor, share: float = 1.0, value: Tensor | None = None
) -> Tensor:
    r"""Return the mean square of the entries of :math:`(z - o) R - t`.

    Args:
        z: latents (B, D), those of this process.
        offset: o (D,), the running mean up to rounding.
        reader: R (D, ΣP).
        targets: t (B, ΣP).
        share: of this process in the samples of the global batch, over which the mean is taken.
        value: the loss of the global batch, of which this process has the gradient of its shard.
    """
    zc = z - offset
    if not zc.shape[0]:
        loss = zc.sum().to(reader.dtype)
    elif torch.is_autocast_enabled(z.device.type):  # a backward pass within autocast would lower its products, too
        with full_precision(z):
            loss = with_precomputed_gradient(partial(_mean_square, reader), zc, targets, traceable=True)
    else:
        loss = mse_loss(zc @ reader, targets)
    if value is None:
        return loss
    loss = loss * share
    return value.to(loss.dtype) + (loss - loss.detach())  # the same bits on all processes


def _mean_square(
    reader: Tensor, needed: Sequence[bool], zc: Tensor, targets: Tensor
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Return the loss and its gradients in centred latents and targets."""
    error = torch.addmm(targets, zc, reader, beta=-1)
    slope = error * (2 / error.numel())
    return error.square().mean(), (slope @ reader.mT if needed[0] else None, -slope if needed[1] else None)


def error_of_moments(batch: Moments, solution: Solution) -> Tensor:
    r"""Return the loss of a batch from its moments, in the notation of :func:`alignment`, with P entries t = (y - p) f.

    .. math:: \tfrac1{nP} \sum \| (z - o) R - t \|^2 = \tfrac1P \bigl( \operatorname{tr}(R^\top C_{zz} R
              - 2 R^\top C_{zt} + C_{tt}) + \| (m_z - o) R - m_t \|^2 \bigr)
    """
    reader, factor = solution.reader, solution.target_factor
    squares = ((batch.scatter_zz @ reader - 2 * batch.scatter_zy * factor) * reader).sum() / batch.count
    offset = (batch.z_mean - solution.z_offset) @ reader - (batch.target_mean - solution.target_offset) * factor
    varied = (squares + (batch.target_variance * factor.square()).sum()).clamp(min=0)
    return (varied + offset.square().sum()) / len(factor)
