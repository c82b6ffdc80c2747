"""How well the quantities are read, about running means: the default term of the guidance."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.guided.losses._precomputed_gradient import with_precomputed_gradient
from isospan.moments import Moments


def alignment(
    z: Tensor,
    z_mean: Tensor,
    reader: Tensor,
    targets: Tensor,
    count: float,
    value: Tensor | None = None,
    roots: Tensor | None = None,
) -> Tensor:
    r"""Return the mean over the samples of :math:`\| (z - \bar z) R - t \|^2`.

    Args:
        z: latents (B, D), those of this process.
        z_mean: running mean (D,), in float64: an offset of the latents costs no digits.
        reader: R (D, ΣP).
        targets: t (B, ΣP).
        count: samples of the global batch, over which the mean is taken.
        value: the loss of the global batch, of which this process has the gradient of its shard.
        roots: of weights of the squared errors (B, ΣP); by default 1.
    """
    zc = (z - z_mean).to(reader.dtype)
    if torch.is_autocast_enabled(z.device.type):  # a backward pass within autocast would lower its products, too
        with full_precision(z):
            loss = with_precomputed_gradient(partial(_squared_error, reader, count, roots), zc, targets, traceable=True)
    else:
        loss = _weighted(torch.addmm(targets, zc, reader, beta=-1), roots).square().sum() / count
    return loss if value is None else value.to(loss.dtype) + (loss - loss.detach())  # the same bits on all processes


def _squared_error(
    reader: Tensor, count: float, roots: Tensor | None, needed: Sequence[bool], zc: Tensor, targets: Tensor
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Return the loss and its gradients in centred latents and targets."""
    error = _weighted(torch.addmm(targets, zc, reader, beta=-1), roots)
    slope = _weighted(error * (2 / count), roots)
    return error.square().sum() / count, (slope @ reader.mT if needed[0] else None, -slope if needed[1] else None)


def _weighted(error: Tensor, roots: Tensor | None) -> Tensor:
    return error if roots is None else error * roots


def error_of_moments(batch: Moments, running: Moments, reader: Tensor, factor: Tensor) -> Tensor:
    r"""Return the loss of a batch from its moments, in the notation of :func:`alignment`.

    .. math:: \tfrac1n \sum \| (z - \bar z) R - t \|^2 = \operatorname{tr}(R^\top C_{zz} R - 2 R^\top C_{zt} + C_{tt})
              + \| (m_z - \bar z) R - m_t \|^2
    """
    n = batch.count
    squares = ((batch.scatter_zz @ reader - 2 * batch.scatter_zy * factor) * reader).sum() / n
    offset = (batch.z_mean - running.z_mean) @ reader - (batch.target_mean - running.target_mean) * factor
    return (squares + (batch.target_variance * factor.square()).sum()).clamp(min=0) + offset.square().sum()
