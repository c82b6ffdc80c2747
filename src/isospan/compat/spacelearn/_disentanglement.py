"""The older form of the disentanglement loss."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from isospan.guided.losses import disentanglement_loss


def disentanglement_loss_original(Z: Tensor, W: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean over pairs of quantities i < j of the mean squared correlation of their coordinates.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\|C_{ij}\|_F^2}{k_i k_j}

    The correlation matrices C are those of :func:`isospan.guided.losses.disentanglement_loss`, which divides by
    :math:`k_i` only and raises the same errors. The loss is 0 for a single quantity.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss_original(z, {"a": e[:1]})
        tensor(0.)
    """
    loss = disentanglement_loss(Z, W)
    if len(W) == 1:
        return loss
    return torch.stack([disentanglement_loss(Z, {i: W[i], j: W[j]}) / len(W[j]) for i, j in combinations(W, 2)]).mean()
