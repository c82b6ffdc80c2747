"""Solvers under the names, defaults and result of spacelearn."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import check_latents, working_dtype
from isospan.compat.spacelearn._space import Space
from isospan.linalg import fix_signs, top_left_singular
from isospan.moments import Moments
from isospan.subspaces import Method
from isospan.subspaces._bases import leading_targets, unit_rows
from isospan.subspaces._decoders import least_squares, projected_cross
from isospan.subspaces._solve import bases_from_moments, check_informative, checked_separation, needs_target_covariance


@torch.no_grad()
def principal_directions(z: Tensor, targets: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    r"""Return the directions of latents and of each quantity that covary most.

    .. math:: (w, v) = \arg\max_{\|w\| = \|v\| = 1} w^\top C v, \qquad C = Z_c^\top Y_c

    Args:
        z: latents (B, D), B ≥ 2.
        targets: quantities {name: (B, ...)}.

    Returns:
        {name: (w (D,), v (P,))}, unit length, the entry of w that is largest in magnitude positive, no gradient.

    Raises:
        DegenerateDataError: fewer than two samples, constant latents or a constant quantity.
        ShapeError: z is no matrix (B, D), or a quantity has another number of samples.
        NonFiniteError: z or a quantity contains NaN or infinity, or is so large that its square would be.
        DtypeError: z or a quantity is not floating point.
        DeviceMismatchError: a quantity is on another device than z.

    Example:
        >>> import torch
        >>> z = torch.randn(100, 3)
        >>> w, v = principal_directions(z, {"a": z[:, :1] @ torch.tensor([[3.0, 4.0]])})["a"]
        >>> v
        tensor([0.6000, 0.8000])
    """
    z = check_latents(z, finite=False)
    moments = Moments.of(z, targets)
    check_informative(moments)
    dtype = working_dtype(z)
    pairs = {}
    for name, C in moments.cov_zy.items():
        w = fix_signs(top_left_singular(C, 1)[0])
        pairs[name] = (w[0].to(dtype), unit_rows(w @ C)[0].to(dtype))
    return pairs


def subspaces(
    Z: Tensor,
    targets: Mapping[str, Tensor],
    k: int | Mapping[str, int],
    *,
    method: Method = "covariance",
    orthogonal: bool = False,
    separation: float = 0.0,
    previous: Space | Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
) -> dict[str, Tensor]:
    """Return the bases W {name: (k, D)} of :func:`solve_subspaces`.

    Example:
        >>> import torch
        >>> z = torch.randn(100, 3)
        >>> subspaces(z, {"a": z[:, :2] * 2}, 2)["a"].shape
        torch.Size([2, 3])
    """
    space = solve_subspaces(
        Z, targets, k=k, method=method, orthogonal=orthogonal, separation=separation, previous=previous, ridge=ridge
    )
    return space.W


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

    Quantities are not standardised, and "covariance" is the default.

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
    separation = checked_separation(method, orthogonal, separation)
    Z = check_latents(Z, finite=False)
    moments = Moments.of(
        Z, Y, target_covariance=needs_target_covariance(method, separation), precision=working_dtype(Z)
    )
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
    orthogonal: bool = False,
    separation: float = 0.0,
    previous: Space | Mapping[str, Tensor] | None = None,
    ridge: float = 1e-3,
) -> Space:
    """Return the :func:`solve_subspaces` of the data that the moments have seen, in float64.

    One batch, a stream, or the moments of several processes merged give the same answer.

    Raises:
        DegenerateDataError, DimensionError, NameMismatchError, OptionError: as in :func:`solve_subspaces`; also where
            ``"correlation"`` gets moments without ``target_covariance=True``.

    Example:
        >>> import torch
        >>> moments = Moments(6, {"a": 2})
        >>> for _ in range(10):
        ...     z = torch.randn(20, 6)
        ...     _ = moments.update(z, {"a": z[:, :2]})
        >>> solve_from_moments(moments, 2)
        Space(a: W (2, 6), A (2, 2))
    """
    W = bases_from_moments(
        moments,
        k,
        method=method,
        orthogonal=orthogonal,
        separation=separation,
        previous=previous.W if isinstance(previous, Space) else previous,
        ridge=ridge,
    )
    WS = projected_cross(moments, W)
    return Space(W, least_squares(moments, W, WS), leading_targets(WS))
