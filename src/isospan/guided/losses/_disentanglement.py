"""The correlation between the coordinates of different subspaces."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_flag
from isospan.errors import DegenerateDataError
from isospan.guided.losses._inputs import centred, checked_bases, checked_latents, rescaled, sizes, stacked
from isospan.guided.losses._precomputed_gradient import Gradients, with_precomputed_gradient


def disentanglement_loss(z: Tensor, W: Mapping[str, Tensor], *, unbiased: bool = False) -> Tensor:
    r"""Return the mean squared correlation between the coordinates of different quantities.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\operatorname{tr}(C_{ij}^\top C_{ij})}{k_i}, \qquad
              C_{ij} = \frac1B \hat S_i^\top \hat S_j

    over all pairs of quantities i < j, in the order of W. The columns of :math:`\hat S_i` are the coordinates
    :math:`(z - \bar z) W_i^\top`, each divided by its unbiased standard deviation. A coordinate that is constant over
    the batch has correlation 0.

    **The sampling floor.** With Pearson's r of two columns, :math:`C = r (B-1)/B`. Let a and b be the columns, centred
    and of norm 1. If their samples are independent, every order :math:`\pi b` of the samples of b is equally likely.
    Over all orders, :math:`E[r^2] = a^\top E[\pi b b^\top \pi^\top] a = 1/(B-1)` exactly, for any distributions,
    since the expectation is the multiple of :math:`I - 11^\top/B` with trace 1. So independent subspaces score about
    :math:`k_j (B-1)/B^2`, which is 0.94 for k = 16 and B = 16. ``unbiased=True`` replaces :math:`r^2` by

    .. math:: \tilde r^2 = \frac{(B-1)\, r^2 - 1}{B-2},

    which has mean 0 for independent columns at every B and is 1 for r = ±1. It also divides by
    :math:`\min(k_i, k_j)`, so that the order of names does not matter. The loss is then negative where coordinates are
    less correlated than by chance.

    Args:
        z: latents (B, D), B ≥ 2, or B ≥ 3 with ``unbiased=True``.
        W: bases {name: (k, D)}.
        unbiased: remove the sampling floor.

    Returns:
        Scalar without unit, in the precision of z (float32 for half precision); 0 for a single quantity.
        Values are not checked: NaN or infinity in an argument makes it NaN or infinite.

    Raises:
        NameMismatchError: W is not a dict of names.
        ShapeError: z or W has another shape.
        DtypeError: a tensor is not real floating point.
        DeviceMismatchError: W is on another device than z.
        DegenerateDataError: too few samples, or no quantity.
        OptionError: ``unbiased`` is not True or False.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss(z, {"a": e[:1], "b": e[:1]}, unbiased=True).round(decimals=4)
        tensor(1.)
    """
    check_flag(unbiased, what="unbiased")
    z = checked_latents(z)
    with full_precision(z):
        zc, W = rescaled(centred(z))[0], checked_bases(W, z)
        kernel = partial(squared_correlation, sizes(W), unbiased)
        return with_precomputed_gradient(kernel, zc @ stacked(W).mT, traceable=True)


def squared_correlation(
    k: Sequence[int], unbiased: bool, needed: Sequence[bool], S: Tensor, *, gram: tuple[int, Tensor] | None = None
) -> tuple[Tensor, Gradients]:
    r"""The disentanglement loss of centred coordinates S (B, Σk) of all quantities, and its gradient in S.

    ``gram`` is (B, M = SᵀS) of the global batch, where S is a shard of it.

    With c = (1 - 1/B)², C_ab² = c M_ab²/(M_aa M_bb). With symmetric weights U, which are 0 within a subspace, and
    N = 2c U_ab M_ab/(M_aa M_bb) and t = (N∘M) 1, the value is Σ t / 4 and the gradient S (N - diag(t_a/M_aa)). A column
    whose variance is rounding error alone counts as constant.
    """
    B, M = gram or (len(S), S.mT @ S)
    if unbiased and B < 3:
        raise DegenerateDataError(f"Unbiased disentanglement needs at least 3 samples, got {B}. Pass a larger batch.")
    scatter = M.diagonal()
    rounding = scatter.max() * (max(B, len(M)) * torch.finfo(S.dtype).eps) ** 2
    inverse = torch.maximum(scatter, rounding.clamp(min=torch.finfo(S.dtype).tiny)).reciprocal()
    scaled = inverse * (1 - 1 / B)
    N = _pair_weights(k, unbiased, like=S).mul_(M).mul_(scaled).mul_(scaled.unsqueeze(1))
    t = (N * M).sum(1)
    value, gradient = t.sum() / 4, S @ (N - torch.diag(t * inverse)) if needed[0] else None
    if not unbiased:
        return value, (gradient,)
    chance = [max(k_i, k_j) / (B - 1) for k_i, k_j in combinations(k, 2)]
    stretch = (B - 1) / (B - 2)
    to_pearson = stretch * (B / (B - 1)) ** 2
    offset = stretch * sum(chance) / max(len(chance), 1)
    return value * to_pearson - offset, (None if gradient is None else gradient * to_pearson,)


def _pair_weights(k: Sequence[int], unbiased: bool, *, like: Tensor) -> Tensor:
    """Weights U (Σk, Σk) of the squared correlations: 2 / (n k_i) for a pair i < j of n, or 2 / (n min(k_i, k_j))."""
    table = [[0.0] * len(k) for _ in k]
    for i, j in combinations(range(len(k)), 2):
        rows = min(k[i], k[j]) if unbiased else k[i]
        table[i][j] = table[j][i] = 2 * (1 / rows) / math.comb(len(k), 2)
    block = torch.tensor([i for i, size in enumerate(k) for _ in range(size)], device=like.device)
    return torch.tensor(table, dtype=like.dtype, device=like.device)[block][:, block]
