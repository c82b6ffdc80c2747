"""Bases of the subspaces, one for every quantity, from second moments."""

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
    check_partition,
    check_ridge,
)
from isospan._core.warnings import warn
from isospan.errors import DegenerateDataError, OptionError
from isospan.moments import Moments, check_moments, varies, varying
from isospan.subspaces._bases import leading_bases, oriented
from isospan.subspaces._criteria import Criterion, Method
from isospan.subspaces._leakage import leakage_forms
from isospan.subspaces._partition import joint_frame

DEFAULT_K = 32


@torch.no_grad()
def bases_from_moments(
    moments: Moments,
    k: int | Mapping[str, int] | None,
    *,
    method: Method,
    orthogonal: bool,
    separation: float,
    previous: Mapping[str, Tensor] | None,
    ridge: float,
) -> dict[str, Tensor]:
    """Return the bases W {name: (k, D)} of :func:`isospan.subspaces.solve_subspaces`, in the units of the moments.

    Quantities are not standardised: where subspaces compete (``orthogonal=True``), their units matter.
    """
    check_moments(moments)
    separation, ridge = checked_separation(method, orthogonal, separation), check_ridge(ridge)
    check_informative(moments)
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
    return oriented(W, previous)


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


def check_informative(moments: Moments) -> None:
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
