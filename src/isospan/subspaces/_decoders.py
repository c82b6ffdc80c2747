"""Linear decoders of quantities from the coordinates in their subspaces."""

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


@torch.no_grad()
def fit_decoders(
    W: Mapping[str, Tensor], z: Tensor, y: Mapping[str, Tensor], *, ridge: float = 0.0
) -> dict[str, Tensor]:
    r"""Fit the decoder of every quantity by least squares.

    .. math:: A_q = \arg\min_A \| Z_c W_q^\top A - Y_{q,c} \|_F^2 + \lambda \|A\|_F^2

    Of several minimisers (dependent rows of W, fewer samples than k) it is the one of least norm. The ridge is
    relative, :math:`\lambda = \text{ridge} \cdot \|Z_c W_q^\top\|_F^2 / k`. Computed in float64 from the singular
    values of the coordinates; the result carries no gradient.

    Args:
        W: bases {name: (k, D)}.
        z: latents (B, D), B ≥ 2.
        y: quantities {name: (B, ...)}, in their units; flattened to (B, P).
        ridge: relative ridge, at least 0.

    Returns:
        {name: A (k, P)} in the dtype of z (float32 for half precision), in units of the quantity by units of z.

    Raises:
        NameMismatchError: W and y name different quantities.
        ShapeError: batch sizes or latent dimensions differ.
        NonFiniteError: z or a quantity contains NaN or infinity, or a decoder is outside the range of the dtype of z.

    Example:
        >>> import torch
        >>> z = torch.randn(50, 3)
        >>> A = fit_decoders({"a": torch.eye(3)[:2]}, z, {"a": 5 * z[:, :1] - z[:, 1:2]})
        >>> A["a"].round(decimals=4)
        tensor([[ 5.],
                [-1.]])
    """
    z = check_latents(z)
    flat = check_targets(y, batch=len(z), device=z.device)
    check_named(flat, W, what="W", against="the targets")
    W = check_bases(W, latent_dim=z.shape[1], device=z.device)
    ridge = check_ridge(ridge)
    zc = z.double() - z.double().mean(0)
    A = {}
    for name, W_q in W.items():
        Y = flat[name].double()
        eps = max(torch.finfo(working_dtype(x)).eps for x in (z, W_q))  # the rounding of the arguments
        S = zc @ W_q.double().mT
        scale = power_of_two(S)
        exact = _ridge_solution(S / scale, Y - Y.mean(0), ridge, eps) / scale
        A[name] = exact.to(working_dtype(z))
        if not A[name].isfinite().all() or 0 < exact.abs().max() < torch.finfo(A[name].dtype).tiny:
            raise NonFiniteError(
                f"The decoder of quantity {name!r} must be within the range of {A[name].dtype}, got coordinates near "
                f"{float(scale):.3g} and targets up to {float(Y.abs().max()):.3g}. Change their units, or pass float64."
            )
    return A


@torch.no_grad()
def decoders_from_moments(moments: Moments, W: Mapping[str, Tensor], *, ridge: float = 0.0) -> dict[str, Tensor]:
    r"""Return the least squares decoders of the data of the moments.

    .. math:: A_q = (G + \lambda I)^{+} W_q C_{zy}, \qquad G = W_q C_{zz} W_q^\top, \qquad
              \lambda = \text{ridge} \cdot \operatorname{tr}(G)/k

    Where samples lack some quantities, G is of the samples that have the quantity.

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
    scatter_zy, decoders = moments.split(moments.scatter_zy), {}
    for name, W_q in W.items():  # from scatters: the count cancels, as the ridge is relative
        W_q = W_q.double()
        scatter_zz = moments.scatter_zz if moments.missing == "raise" else moments.labelled(name).scatter_zz
        decoders[name] = solve_gram(W_q @ scatter_zz @ W_q.mT, W_q @ scatter_zy[name], ridge=ridge)
    return decoders


def _ridge_solution(S: Tensor, Y: Tensor, ridge: float, eps: float) -> Tensor:
    """A = V diag(s / (s² + λ)) Uᵀ Y of the thin SVD of S (B, k), without singular values that are rounding."""
    U, s, Vh = svd(S)
    significant = s > max(S.shape) * eps * s[:1]
    lam = ridge * s.square().sum() / S.shape[1]
    inverse = torch.where(significant, s / (s.square() + lam), torch.zeros_like(s))
    return Vh.mT @ (inverse.unsqueeze(-1) * (U.mT @ Y))
