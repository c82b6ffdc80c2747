"""How far the coordinates of different subspaces are correlated."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isospan.errors import DegenerateDataError
from isospan.guided.losses.inputs import centred, checked_bases, exact_products, sizes, stacked
from isospan.linalg import gram


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
    with exact_products(Z):
        Zc, W = centred(Z), checked_bases(W, Z)
        return squared_correlation(Zc @ stacked(W).mT, sizes(W), unbiased=unbiased)


def disentanglement_loss_original(Z: Tensor, W: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean over pairs of quantities of the mean squared correlation of their coordinates.

    .. math:: L = \operatorname{mean}_{i<j} \frac{\|C_{ij}\|_F^2}{k_i k_j}

    The older form of :func:`disentanglement_loss`, with the same correlation matrices C.

    Example:
        >>> import torch
        >>> z, e = torch.randn(500, 4), torch.eye(4)
        >>> disentanglement_loss_original(z, {"a": e[:1]})
        tensor(0.)
    """
    with exact_products(Z):
        Zc, W = centred(Z), checked_bases(W, Z)
        k = torch.tensor(sizes(W), dtype=Zc.dtype, device=Z.device)
        return _weighted_mean(_squared_correlations(Zc @ stacked(W).mT), sizes(W), 1 / torch.outer(k, k))


def squared_correlation(S: Tensor, k: Sequence[int], *, unbiased: bool) -> Tensor:
    """Mean over pairs of tr(Cᵀ C)/k_i, or its unbiased form, for the stacked centred coordinates S (B, Σk)."""
    if len(k) < 2:
        return S[:, :0].sum()
    B, size = len(S), torch.tensor(k, dtype=S.dtype, device=S.device)
    squares = _squared_correlations(S)
    if not unbiased:
        return _weighted_mean(squares, k, (1 / size).unsqueeze(1).expand(len(k), len(k)))
    if B < 3:
        raise DegenerateDataError(f"Unbiased disentanglement needs at least 3 samples, got {B}. Pass a larger batch.")
    adjusted = ((B / (B - 1)) ** 2 * (B - 1) * squares - 1) / (B - 2)
    return _weighted_mean(adjusted, k, 1 / torch.minimum(size.unsqueeze(0), size.unsqueeze(1)))


def _squared_correlations(S: Tensor) -> Tensor:
    """C² entry by entry, (Σk, Σk), from SᵀS; zero for coordinates without variance."""
    B, M = len(S), gram(S)
    scatter = M.diagonal()
    rounding = (max(S.shape) * torch.finfo(S.dtype).eps) ** 2 * scatter.max()
    alive = scatter > rounding
    inverse = torch.where(alive, scatter, 1.0).reciprocal() * alive
    return M.square() * torch.outer(inverse, inverse) * ((B - 1) / B) ** 2


def _weighted_mean(squares: Tensor, k: Sequence[int], weight: Tensor) -> Tensor:
    """Mean over pairs of blocks i < j of weight_ij times the sum of the block."""
    block = torch.arange(len(k), device=squares.device).repeat_interleave(torch.tensor(k, device=squares.device))
    upper = weight.triu(1)[block][:, block]
    return (upper * squares).sum() / max(len(k) * (len(k) - 1) / 2, 1)
