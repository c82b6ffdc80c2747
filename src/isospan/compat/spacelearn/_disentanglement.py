"""The older form of the disentanglement loss."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_bases, check_latents, working_dtype
from isospan.linalg import power_of_two


def disentanglement_loss_original(Z: Tensor, W: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean over pairs of quantities of the mean squared correlation of their coordinates.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\|C_{ij}\|_F^2}{k_i k_j}

    The older form of :func:`isospan.guided.losses.disentanglement_loss`, with the same correlation matrices C. A
    coordinate that is constant over the batch correlates with nothing. NaN in Z gives NaN.

    Raises:
        DegenerateDataError: fewer than two samples.
        ShapeError, DtypeError, DeviceMismatchError: Z is not (B, D), or a basis not (k, D), real and on its device.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss_original(z, {"a": e[:1]})
        tensor(0.)
    """
    Z = check_latents(Z, finite=False)
    W = check_bases(W, latent_dim=Z.shape[1], device=Z.device, finite=False)
    dtype = working_dtype(Z)
    with full_precision(Z):
        Zc = Z.to(dtype)
        Zc = Zc - Zc.detach().mean(0)
        Zc = Zc - Zc.mean(0)  # again, for the rounding of a mean far from zero
        S = Zc / power_of_two(Zc) @ torch.cat([W_q.to(dtype) for W_q in W.values()]).mT
        scatter = S.square().sum(0)
        rounding = scatter.max() * (max(S.shape) * torch.finfo(dtype).eps) ** 2
        normal = (
            S * torch.maximum(scatter, rounding.clamp(min=torch.finfo(dtype).tiny)).rsqrt() * (1 - 1 / len(S)) ** 0.5
        )
        pairs = list(combinations(normal.split([len(W_q) for W_q in W.values()], dim=1), 2))
        terms = [(S_i.mT @ S_j).square().mean() for S_i, S_j in pairs]
        return torch.stack(terms).mean() if terms else 0 * scatter.sum()
