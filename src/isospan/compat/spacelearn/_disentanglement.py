"""The older form of the disentanglement loss."""

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.guided.losses._disentanglement import weighted_correlation
from isospan.guided.losses._fused import with_gradient
from isospan.guided.losses._inputs import centred, checked_bases, checked_latents, in_units, sizes, stacked


def disentanglement_loss_original(Z: Tensor, W: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean over pairs of quantities of the mean squared correlation of their coordinates.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\|C_{ij}\|_F^2}{k_i k_j}

    The older form of :func:`isospan.guided.losses.disentanglement_loss`, with the same correlation matrices C.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss_original(z, {"a": e[:1]})
        tensor(0.)
    """
    Z = checked_latents(Z)
    with full_precision(Z):
        Zc, W = in_units(centred(Z))[0], checked_bases(W, Z)
        kernel = partial(weighted_correlation, sizes(W), _by_both)
        S = Zc @ stacked(W).mT
        return with_gradient(lambda needed, S: kernel(needed, S, len(S), S.mT @ S), S, traceable=True)


def _by_both(k_i: int, k_j: int) -> float:
    return 1 / (k_i * k_j)
