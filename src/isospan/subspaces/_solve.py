"""Bases of the subspaces, one for every quantity, from second moments."""

from collections.abc import Collection, Mapping
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
from isospan.moments import Moments, check_moments, varies
from isospan.subspaces._bases import leading_bases, oriented
from isospan.subspaces._criteria import Criterion, Method
from isospan.subspaces._latent_space import LatentSpace
from isospan.subspaces._leakage import leakage_forms
from isospan.subspaces._partition import joint_frame
from isospan.subspaces._trust_region import BUDGET

DEFAULT_K = 32


@torch.no_grad()
def standardised_bases(
    moments: Moments,
    k: int | Mapping[str, int] | None,
    *,
    method: Method,
    orthogonal: bool,
    separation: float | None,
    previous: LatentSpace | Mapping[str, Tensor] | None,
    ridge: float,
    budget: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Return the bases W {name: (k, D)} of :func:`isospan.subspaces.solve_subspaces`, of standardised quantities.

    With a ``budget``, as while training, orthogonal subspaces improve on the previous ones by this number of products
    with the Hessian, and no warning says that few samples have a low rank. ``classes`` says which quantities are the
    indicators of how many classes, of rank C - 1.
    """
    check_moments(moments)
    if separation is None:
        separation = default_separation(method, orthogonal, len(moments.names))
    separation, ridge = checked_separation(method, orthogonal, separation), check_ridge(ridge)
    moments = moments.scaled({name: 1 / scale for name, scale in target_scales(moments).items()})
    check_latents_vary(moments)
    sizes = _subspace_sizes(k, moments, classes or {})
    if orthogonal:
        check_partition(sizes, moments.latent_dim)
    criterion = Criterion.of(moments, method, ridge)
    previous = previous.W if isinstance(previous, LatentSpace) else previous
    improves = orthogonal and budget is not None
    W = previous if improves and previous is not None else leading_bases(criterion, sizes, warns=budget is None)
    if orthogonal:
        forms = criterion.forms()
        if separation:
            leaked = leakage_forms(moments, ridge=ridge)
            forms = {name: H - separation * leaked[name] for name, H in forms.items()}
        W = joint_frame(forms, criterion.metric, W, budget=BUDGET if budget is None else budget)
    return oriented(W, previous)


def target_scales(moments: Moments, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """Return one standard deviation a quantity, by default of all: the root of the mean variance of its entries.

    Raises:
        DegenerateDataError: a quantity is constant.
    """
    mean = moments.y_mean
    variance = {name: var for name, var in moments.var_y.items() if names is None or name in names}
    constant = [name for name, var in variance.items() if not varies(var, mean[name])]
    if constant:
        _check_labelled(moments, constant)
        raise DegenerateDataError(
            f"The quantities {constant} have been constant over {float(moments.count):g} samples, so "
            f"they have no subspace. Leave them out, or check how they are computed. {KEEP_FLOAT64}"
        )
    return {name: var.mean().sqrt() for name, var in variance.items()}


def _check_labelled(moments: Moments, constant: Collection[str]) -> None:
    """Require that quantities without variance are not so for want of samples that have them."""
    if moments.missing == "skip" and (few := {n: float(moments.labelled(n).count) for n in constant}):
        raise DegenerateDataError(
            f"Every quantity must vary over the samples that have it, got constant or no values in these sums of "
            f"weights of {float(moments.count):g} samples: {few}. Leave these quantities out, or label more samples."
        )


def default_separation(method: Method, orthogonal: bool, n_quantities: int) -> float:
    """Return 1 for an orthogonal regression of several quantities, else 0.

    Example:
        >>> default_separation("regression", True, 2), default_separation("regression", True, 1)
        (1.0, 0.0)
    """
    return 1.0 if orthogonal and method == "regression" and n_quantities > 1 else 0.0


def needs_target_covariance(method: Method, separation: float) -> bool:
    """Whether a solve needs moments that hold the covariance of the targets."""
    return method == "correlation" or separation > 0


def checked_separation(method: Method, orthogonal: bool, separation: float) -> float:
    """Return the separation, which is above 0 only for an orthogonal regression."""
    check_choice(method, get_args(Method), what="method")
    check_flag(orthogonal, what="orthogonal")
    number = as_number(separation)
    if not 0 <= number < inf or (number > 0 and not (orthogonal and method == "regression")):
        raise OptionError(
            f'separation must be at least 0, and above 0 only with orthogonal=True and method="regression", got '
            f"{separation!r:.80} with orthogonal={orthogonal} and method={method!r}."
        )
    return number


def _subspace_sizes(k: int | Mapping[str, int] | None, moments: Moments, classes: Mapping[str, int]) -> dict[str, int]:
    ranks = {name: classes[name] - 1 if name in classes else P for name, P in moments.target_dims.items()}
    limits = {name: min(moments.latent_dim, rank) for name, rank in ranks.items()}
    asked = check_k(DEFAULT_K if k is None else k, limits)
    reduced = {name: (asked[name], limit) for name, limit in limits.items() if asked[name] > limit}
    if reduced and k is not None:
        warn(
            f"k is at most min(D, P), with D = {moments.latent_dim} latent dimensions and P entries of a quantity, or "
            f"one less than the classes of labels, so it was reduced (name: (asked, used)): {reduced}."
        )
    return {name: min(asked[name], limit) for name, limit in limits.items()}


def check_latents_vary(moments: Moments) -> None:
    """Require latents that vary by more than the rounding of their mean."""
    if not varies(moments.scatter_zz.diagonal() / moments.count, moments.z_mean):
        raise DegenerateDataError(
            f"The latents are constant over {float(moments.count):g} samples, so no subspace can be solved. "
            "Check the encoder, or pass more than one sample."
        )
