"""How far the coordinates of different subspaces are correlated."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import check_flag
from isospan.errors import DegenerateDataError
from isospan.guided.losses._fused import Gradients, with_gradient
from isospan.guided.losses._inputs import centred, checked_bases, checked_latents, in_units, sizes, stacked

Weight = Callable[[int, int], float]


def disentanglement_loss(Z: Tensor, W: Mapping[str, Tensor], *, unbiased: bool = False) -> Tensor:
    r"""Return the mean over pairs of quantities i < j of the squared correlations of their coordinates.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\operatorname{tr}(C_{ij}^\top C_{ij})}{k_i}, \qquad
              C_{ij} = \frac1B \hat S_i^\top \hat S_j

    with the coordinates :math:`S = Z_c W^\top` divided by their unbiased standard deviation. A coordinate that is
    constant over the batch correlates with nothing.

    **The sampling floor.** With Pearson's r of two columns, :math:`C = r (B-1)/B`. If the samples of one column are
    independent of those of the other, every pairing of their values is equally likely, and over all pairings
    :math:`E[r^2] = 1/(B-1)` exactly, whatever the distributions: for the centred, normalised columns a, b and a random
    permutation π, :math:`E[\langle a, \pi b\rangle^2] = a^\top E[\pi b b^\top \pi^\top] a`, and the expectation is the
    multiple of :math:`I - 11^\top/B` with trace 1, that is 1/(B-1) on centred vectors. So independent subspaces score
    about :math:`k_j (B-1)/B^2`, 0.94 for k = 16 and B = 16. ``unbiased=True`` replaces :math:`r^2` by

    .. math:: \tilde r^2 = \frac{(B-1)\, r^2 - 1}{B-2},

    which has mean 0 for independent columns at every B and is 1 for r = ±1, and divides by :math:`\min(k_i, k_j)`, so
    that the order of names does not matter. It is negative where coordinates are less correlated than chance.

    Args:
        Z: latents (B, D), B ≥ 2, or B ≥ 3 with ``unbiased=True``.
        W: bases {name: (k, D)}.
        unbiased: remove the sampling floor.

    Returns:
        Scalar without unit, in the precision of Z; 0 for a single quantity.

    Raises:
        DegenerateDataError: too few samples.
        ShapeError, DtypeError, DeviceMismatchError: what the message says. NaN is not looked for.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss(z, {"a": e[:1], "b": e[:1]}, unbiased=True).round(decimals=4)
        tensor(1.)
    """
    check_flag(unbiased, what="unbiased")
    Z = checked_latents(Z)
    with full_precision(Z):
        Zc, W = in_units(centred(Z))[0], checked_bases(W, Z)
        return with_gradient(partial(squared_correlation, sizes(W), unbiased), Zc @ stacked(W).mT, traceable=True)


def squared_correlation(
    k: Sequence[int], unbiased: bool, needed: Sequence[bool], S: Tensor, *, whole: tuple[int, Tensor] | None = None
) -> tuple[Tensor, Gradients]:
    """The loss and its gradient in the stacked centred coordinates S (B, Σk).

    Where S is a part of a whole batch, ``whole`` is the size B of that and its Gram matrix SᵀS.
    """
    B, M = whole or (len(S), S.mT @ S)
    if not unbiased:
        return weighted_correlation(k, _by_first, needed, S, B, M)
    if B < 3:
        raise DegenerateDataError(f"Unbiased disentanglement needs at least 3 samples, got {B}. Pass a larger batch.")
    value, (gradient,) = weighted_correlation(k, _by_smaller, needed, S, B, M)
    chance = [max(k_i, k_j) / (B - 1) for i, k_i in enumerate(k) for k_j in k[i + 1 :]]
    stretch = (B - 1) / (B - 2)
    to_pearson = stretch * (B / (B - 1)) ** 2
    offset = stretch * sum(chance) / max(len(chance), 1)
    return value * to_pearson - offset, (None if gradient is None else gradient * to_pearson,)


def weighted_correlation(
    k: Sequence[int], weight: Weight, needed: Sequence[bool], S: Tensor, B: int, M: Tensor
) -> tuple[Tensor, Gradients]:
    r"""Mean over pairs of blocks i < j of weight(k_i, k_j) Σ C_ab².

    With M = SᵀS and c = (1 - 1/B)², C_ab² = c M_ab²/(M_aa M_bb). With the weights U_ab of both orders of a pair,
    N = 2c U_ab M_ab/(M_aa M_bb) and t = (N∘M) 1, the value is Σ t / 4 and the gradient S (N - diag(t_a/M_aa)). A
    column without variance correlates with nothing.
    """
    scatter = M.diagonal()
    rounding = scatter.max() * (max(B, len(M)) * torch.finfo(S.dtype).eps) ** 2
    inverse = torch.maximum(scatter, rounding.clamp(min=torch.finfo(S.dtype).tiny)).reciprocal()
    scaled = inverse * (1 - 1 / B)
    N = _pair_weights(S, k, weight).mul_(M).mul_(scaled).mul_(scaled.unsqueeze(1))
    t = (N * M).sum(1)
    value = t.sum() / 4
    if not needed[0]:
        return value, (None,)
    return value, (S @ (N - torch.diag(t * inverse)),)


def _pair_weights(S: Tensor, k: Sequence[int], weight: Weight) -> Tensor:
    """Symmetric (Σk, Σk): twice weight(k_i, k_j) over the number of pairs on the blocks i ≠ j, 0 on their own."""
    table = [[0.0] * len(k) for _ in k]
    for i, j in combinations(range(len(k)), 2):
        table[i][j] = table[j][i] = 2 * weight(k[i], k[j]) / math.comb(len(k), 2)
    block = torch.tensor([i for i, size in enumerate(k) for _ in range(size)], device=S.device)
    return torch.tensor(table, dtype=S.dtype, device=S.device)[block][:, block]


def _by_first(k_i: int, k_j: int) -> float:
    return 1 / k_i


def _by_smaller(k_i: int, k_j: int) -> float:
    return 1 / min(k_i, k_j)
