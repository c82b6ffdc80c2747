"""Linear decoders: what is read of a quantity from the coordinates in its subspace."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import (
    check_bases,
    check_latents,
    check_named,
    check_ridge,
    check_targets,
    working_dtype,
)
from isospan.errors import NonFiniteError
from isospan.linalg import power_of_two, solve_gram, svd
from isospan.moments import Moments, check_moments
from isospan.subspaces._by_shape import by_shape


@torch.no_grad()
def fit_decoders(
    W: Mapping[str, Tensor], Z: Tensor, targets: Mapping[str, Tensor], *, ridge: float = 0.0
) -> dict[str, Tensor]:
    r"""Fit the decoder of every quantity by least squares.

    .. math:: A_q = \arg\min_A \| Z_c W_q^\top A - Y_{q,c} \|_F^2 + \lambda \|A\|_F^2

    Of several minimisers (dependent rows of W, fewer samples than k) it is the one of least norm. The ridge is
    relative, :math:`\lambda = \text{ridge} \cdot \|Z_c W_q^\top\|_F^2 / k`. Computed in float64 from the singular
    values of the coordinates; the result carries no gradient.

    Args:
        W: bases {name: (k, D)}.
        Z: latents (B, D), B ≥ 2.
        targets: quantities {name: (B, ...)}, in their units; flattened to (B, P).
        ridge: relative ridge, at least 0.

    Returns:
        {name: A (k, P)} in the dtype of Z (float32 for half precision), in units of the quantity by units of z.

    Raises:
        NameMismatchError: W and targets name different quantities.
        ShapeError: batch sizes or latent dimensions differ.
        NonFiniteError: Z or a target contains NaN or infinity, or a decoder cannot be held in the dtype of Z.

    Example:
        >>> import torch
        >>> z = torch.randn(50, 3)
        >>> A = fit_decoders({"a": torch.eye(3)[:2]}, z, {"a": 5 * z[:, :1] - z[:, 1:2]})
        >>> A["a"].round(decimals=4)
        tensor([[ 5.],
                [-1.]])
    """
    Z = check_latents(Z)
    flat = check_targets(targets, batch=len(Z), device=Z.device)
    check_named(flat, W, what="W", against="the targets")
    W = check_bases(W, latent_dim=Z.shape[1], device=Z.device)
    ridge = check_ridge(ridge)
    Zc = Z.double() - Z.double().mean(0)
    A = {}
    for name, W_q in W.items():
        Y = flat[name].double()
        eps = max(torch.finfo(working_dtype(x)).eps for x in (Z, W_q))  # of what is given: so far are its rows known
        S = Zc @ W_q.double().mT
        scale = power_of_two(S)
        exact = _ridge_solution(S / scale, Y - Y.mean(0), ridge, eps) / scale
        A[name] = exact.to(working_dtype(Z))
        if not A[name].isfinite().all() or 0 < exact.abs().max() < torch.finfo(A[name].dtype).tiny:
            raise NonFiniteError(
                f"The decoder of quantity {name!r} must be within the range of {A[name].dtype}, got coordinates near "
                f"{float(scale):.3g} and targets up to {float(Y.abs().max()):.3g}. Change their units, or pass float64."
            )
    return A


@torch.no_grad()
def decoders_from_moments(moments: Moments, W: Mapping[str, Tensor], *, ridge: float = 0.0) -> dict[str, Tensor]:
    r"""Return the least squares decoders of the data that the moments have seen.

    .. math:: A_q = (G + \lambda I)^{+} W_q C_{zy}, \qquad G = W_q C_{zz} W_q^\top, \qquad
              \lambda = \text{ridge} \cdot \operatorname{tr}(G)/k

    Args:
        moments: of latents and quantities.
        W: bases {name: (k, D)}.
        ridge: relative ridge, at least 0.

    Returns:
        {name: A (k, P)}, float64.

    Raises:
        DtypeError, NameMismatchError, ShapeError, NonFiniteError, OptionError: as in :func:`fit_decoders`.

    Example:
        >>> import torch
        >>> z = torch.randn(50, 3)
        >>> moments = Moments.of(z, {"a": 5 * z[:, :1]})
        >>> decoders_from_moments(moments, {"a": torch.eye(3)[:1]})["a"].round(decimals=4)
        tensor([[5.]], dtype=torch.float64)
    """
    check_moments(moments)
    check_named(moments.names, W, what="W", against="the moments")
    W = check_bases(W, latent_dim=moments.latent_dim, device=moments.z_mean.device)
    ridge = check_ridge(ridge)
    W = {name: W_q.double() for name, W_q in W.items()}
    return least_squares(moments, W, projected_cross(moments, W), ridge=ridge)


def projected_cross(moments: Moments, W: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """W S_zy of every quantity, (k, P), from the scatter (a covariance times the count)."""
    scatter_zy = moments.split(moments.scatter_zy)
    return {name: W_q @ scatter_zy[name] for name, W_q in W.items()}


def least_squares(
    moments: Moments, W: Mapping[str, Tensor], WS: Mapping[str, Tensor], *, ridge: float = 0.0
) -> dict[str, Tensor]:
    """Decoders from projected cross-scatters W S_zy; the count cancels, as the ridge is relative."""
    WZ = (torch.cat(list(W.values())) @ moments.scatter_zz).split([len(W_q) for W_q in W.values()])

    def decoders(basis: Tensor, cross_z: Tensor, cross_y: Tensor) -> Tensor:
        return solve_gram(cross_z @ basis.mT, cross_y, ridge=ridge)

    return by_shape(decoders, W, dict(zip(W, WZ, strict=True)), WS)


def _ridge_solution(S: Tensor, Y: Tensor, ridge: float, eps: float) -> Tensor:
    """A = V diag(s / (s² + λ)) Uᵀ Y of the thin SVD of S (B, k), without singular values that are rounding."""
    U, s, Vh = svd(S)
    significant = s > max(S.shape) * eps * s[:1]
    lam = ridge * s.square().sum() / S.shape[1]
    inverse = torch.where(significant, s / (s.square() + lam), torch.zeros_like(s))
    return Vh.mT @ (inverse.unsqueeze(-1) * (U.mT @ Y))
