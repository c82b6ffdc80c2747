"""Solvers under the names, defaults and result of spacelearn."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from isospan import subspaces as ours
from isospan._core.checks import as_number, check_latents, check_number, working_dtype
from isospan.compat.spacelearn._space import Space
from isospan.linalg import eigh, fix_signs
from isospan.moments import Moments
from isospan.subspaces import Method


def principal_directions(z: Tensor, pooled_targets: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    r"""Return the directions of latents and of each quantity that covary most.

    .. math:: (w, v) = \arg\max_{\|w\| = \|v\| = 1} w^\top C v, \qquad C = Z_c^\top Y_c

    Args:
        z: latents (B, D), B ≥ 2.
        pooled_targets: quantities {name: (B, ...)}.

    Returns:
        {name: (w (D,), v (P,))}, unit length, the entry of w that is largest in magnitude positive, no gradient.

    Raises:
        IsospanError: as in :func:`isospan.subspaces.solve_subspaces`.

    Example:
        >>> import torch
        >>> z = torch.randn(100, 3)
        >>> w, v = principal_directions(z, {"a": z[:, :1] @ torch.tensor([[3.0, 4.0]])})["a"]
        >>> v
        tensor([0.6000, 0.8000])
    """
    z = check_latents(z, finite=False)
    space = solve_from_moments(Moments.of(z, pooled_targets), 1).to(working_dtype(z))
    return {name: (W[0], V) for name, (W, _, V) in space.items()}


def subspaces(
    Z: Tensor, pooled_global: Mapping[str, Tensor], k: int | Mapping[str, int], **options: Any
) -> dict[str, Tensor]:
    """Return the bases W {name: (k, D)} of :func:`solve_subspaces`, with its options.

    Example:
        >>> import torch
        >>> z = torch.randn(100, 3)
        >>> subspaces(z, {"a": z[:, :2] * 2}, 2)["a"].shape
        torch.Size([2, 3])
    """
    return solve_subspaces(Z, pooled_global, k=k, **options).W


def solve_subspaces(
    Z: Tensor,
    Y: Mapping[str, Tensor],
    *,
    k: int | Mapping[str, int] | None = None,
    method: Method = "covariance",
    orthogonal: bool = False,
    separation: float = 0.0,
    previous: Space | Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
) -> Space:
    """Solve a subspace and a decoder for every quantity as :func:`isospan.subspaces.solve_subspaces` does.

    "covariance" is the default.

    Returns:
        ``Space`` of W (orthonormal rows, signs fixed), least squares decoders A and target directions V: the leading
        right singular vector of :math:`W_q C_q`.

    Raises:
        IsospanError: as in :func:`isospan.subspaces.solve_subspaces`.

    Example:
        >>> import torch
        >>> z = torch.randn(200, 6)
        >>> space = solve_subspaces(z, {"a": z[:, :2] ** 3, "b": z[:, 2:5].sum(1)}, k={"a": 2, "b": 1})
        >>> {name: tuple(W.shape) for name, (W, A, V) in space.items()}
        {'a': (2, 6), 'b': (1, 6)}
    """
    Z = check_latents(Z, finite=False)
    target_covariance = as_number(separation) > 0 or (isinstance(method, str) and method == "correlation")
    moments = Moments.of(Z, Y, target_covariance=target_covariance, precision=working_dtype(Z))
    space = solve_from_moments(
        moments, k, method=method, orthogonal=orthogonal, separation=separation, previous=previous, ridge=ridge
    )
    return space.to(working_dtype(Z))


@torch.no_grad()
def solve_from_moments(
    moments: Moments,
    k: int | Mapping[str, int] | None = None,
    *,
    method: Method = "covariance",
    separation: float = 0.0,
    previous: Space | Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Space:
    """Return the :func:`solve_subspaces` of the data of the moments, in float64.

    Raises:
        IsospanError: as in :func:`isospan.subspaces.solve_from_moments`.

    Example:
        >>> import torch
        >>> z = torch.randn(20, 6)
        >>> solve_from_moments(Moments.of(z, {"a": z[:, :2]}), 2)
        Space(a: W (2, 6), A (2, 2))
    """
    bases = previous.W if isinstance(previous, Space) else previous
    separation = check_number(separation, what="separation")
    W = dict(ours.solve_from_moments(moments, k, method=method, separation=separation, previous=bases, **options).W)
    C_zy = moments.cov_zy
    return Space(W, ours.decoders_from_moments(moments, W), {name: _leading(W[name] @ C_zy[name]) for name in W})


def _leading(X: Tensor) -> Tensor:
    """Return the leading right singular vector of X (k, P), from the k × k side; zero if X is."""
    x = fix_signs(eigh(X @ X.mT)[1][:, -1:].mT)
    return normalize(x @ X, eps=torch.finfo(X.dtype).tiny)[0]


def fit_decoders(
    W: Mapping[str, Tensor], Z: Tensor, pooled_global: Mapping[str, Tensor], *, ridge: float = 0.0
) -> dict[str, Tensor]:
    """Return :func:`isospan.subspaces.fit_decoders`."""
    return ours.fit_decoders(W, Z, pooled_global, ridge=ridge)
