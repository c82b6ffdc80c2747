"""Subspaces of the latent space, one for every quantity, solved from second moments."""

from collections.abc import Mapping
from math import inf
from typing import get_args

import torch
from torch import Tensor

from isospan._core.checks import (
    KEEP_FLOAT64,
    as_number,
    check_choice,
    check_flag,
    check_k,
    check_latents,
    check_partition,
    check_ridge,
    working_dtype,
)
from isospan._core.warnings import warn
from isospan.errors import DegenerateDataError, OptionError
from isospan.linalg import fix_signs, top_left_singular
from isospan.moments import Moments, check_moments, varies, varying
from isospan.subspaces._bases import leading_bases, leading_targets, oriented, unit_rows
from isospan.subspaces._criteria import Criterion, Method
from isospan.subspaces._decoders import least_squares, projected_cross
from isospan.subspaces._leakage import leakage_forms
from isospan.subspaces._partition import joint_frame
from isospan.subspaces._space import Space

__all__ = ["Method", "Space", "principal_directions", "solve_from_moments", "solve_subspaces", "subspaces"]

DEFAULT_K = 32


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
    _check_informative(moments)
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
    r"""Solve a subspace and a linear decoder for every quantity.

    With :math:`C = Z_c^\top Y_c` and the coordinates :math:`S_q = Z_c W_q^\top`, the k rows of W are

    - ``"covariance"``: the leading left singular vectors of C (partial least squares, PLSSVD without scaling). It
      follows what is loud: latent directions of large variance come first.
    - ``"regression"``: the subspace from which the quantity is decoded best (reduced-rank regression).
    - ``"correlation"``: the subspace of the leading canonical correlations (regularised CCA). It weighs every
      independent direction of the quantity alike.

    Args:
        Z: latents (B, D), B ≥ 2.
        Y: quantities {name: (B, ...)}; flattened to (B, P).
        k: subspace dimension, one for all or {name: k}; by default 32. At most min(D, P), for P entries of the
            quantity: a larger k is reduced, with a :class:`NumericalWarning`; the default is reduced silently.
        method: what the subspace maximises.
        orthogonal: make the subspaces of different quantities mutually orthogonal (a partition), found jointly so
            that their explained shares have the greatest sum, whatever the order of names.
        separation: with ``orthogonal=True`` and ``"regression"``: subtract this times the excess leakage, R² of the
            other quantities from a subspace minus their R² from its own quantity (``leakage_forms``). It keeps
            a subspace from filling up with what belongs to others, at little cost to its own quantity: try 1.
        previous: a :class:`Space` or bases {name: (k, D)}; every new basis is turned within its subspace onto the
            previous one (Procrustes), so coordinates keep their meaning between solves.
        ridge: added to the latent covariance by ``"regression"`` and to both by ``"correlation"``, relative to the
            mean variance.

    Returns:
        ``Space`` of W (orthonormal rows, signs fixed), least squares decoders A and target directions V: the leading
        right singular vector of :math:`W_q C_q`. No gradient; dtype of Z, float32 for half precision. All is solved
        in float64 from :class:`isospan.moments.Moments`; only the products of Z with Y are taken in the precision of
        the result (pass float64 latents, or use :func:`solve_from_moments`, to have them in float64).

    Raises:
        DegenerateDataError: fewer than two samples, constant latents or a constant quantity.
        DimensionError: k < 1, or a sum of k above D with ``orthogonal=True``.
        NameMismatchError: k or previous name other quantities than Y.
        ShapeError, NonFiniteError, DtypeError, DeviceMismatchError: as in :func:`principal_directions`.
        OptionError: an unknown method, a ridge below 0, or a separation without an orthogonal regression.

    Warns:
        NumericalWarning: k was reduced, or C has lower rank than k; the basis is then completed to k rows.

    Source: Wold 1975 and Bookstein 1994 (PLSSVD); Izenman 1975 (reduced-rank regression); Vinod 1976 (ridge CCA).

    Example:
        >>> import torch
        >>> z = torch.randn(200, 6)
        >>> space = solve_subspaces(
        ...     z, {"a": z[:, :2] ** 3, "b": z[:, 2:5].sum(1)}, k={"a": 2, "b": 1}, method="regression"
        ... )
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
    check_moments(moments)
    separation, ridge = checked_separation(method, orthogonal, separation), check_ridge(ridge)
    _check_informative(moments)
    sizes = _subspace_sizes(k, moments)
    if orthogonal:
        check_partition(sizes, moments.latent_dim)
    criterion = Criterion.of(moments, method, ridge)
    W = leading_bases(criterion, sizes)
    if orthogonal:
        forms = criterion.forms()
        if separation:
            leaked = leakage_forms(moments, ridge=ridge)
            forms = {name: H - separation * leaked[name] for name, H in forms.items()}
        W = joint_frame(forms, criterion.metric, W)
    W = oriented(W, previous)
    WS = projected_cross(moments, W)
    return Space(W, least_squares(moments, W, WS), leading_targets(WS))


def needs_target_covariance(method: Method, separation: float) -> bool:
    """Whether a solve needs moments that hold the covariance of the targets."""
    return method == "correlation" or separation > 0


def checked_separation(method: Method, orthogonal: bool, separation: float) -> float:
    """Return the separation, at least 0, and 0 where these options leave nothing to separate by."""
    check_choice(method, get_args(Method), what="method")
    check_flag(orthogonal, what="orthogonal")
    number = as_number(separation)
    if not 0 <= number < inf or (number > 0 and not (orthogonal and method == "regression")):
        raise OptionError(
            f'separation must be at least 0, and above 0 only with orthogonal=True and method="regression", got '
            f"{separation!r:.80} with orthogonal={orthogonal} and method={method!r}."
        )
    return number


def _subspace_sizes(k: int | Mapping[str, int] | None, moments: Moments) -> dict[str, int]:
    limits = {name: min(moments.latent_dim, P) for name, P in moments.target_dims.items()}
    asked = check_k(DEFAULT_K if k is None else k, limits)
    reduced = {name: (asked[name], limit) for name, limit in limits.items() if asked[name] > limit}
    if reduced and k is not None:
        warn(
            f"k is at most min(D, P), with D = {moments.latent_dim} latent dimensions and P entries of a quantity, so "
            f"it was reduced (name: (asked, used)): {reduced}."
        )
    return {name: min(asked[name], limit) for name, limit in limits.items()}


def _check_informative(moments: Moments) -> None:
    """Require latents and quantities that vary by more than the rounding of their means."""
    varying_targets = moments.split(varying(moments.target_variance, moments.target_mean).cpu())
    if not varies(moments.scatter_zz.diagonal() / moments.count, moments.z_mean):
        raise DegenerateDataError(
            f"The latents are constant over {float(moments.count):g} samples, so no subspace can be solved. "
            "Check the encoder, or pass more than one sample."
        )
    for name, where in varying_targets.items():
        if not where.any():
            raise DegenerateDataError(
                f"Quantity {name!r} is constant (zero variance) over {float(moments.count):g} samples, so it has no "
                f"subspace. Leave it out, or check how it is computed. {KEEP_FLOAT64}"
            )
