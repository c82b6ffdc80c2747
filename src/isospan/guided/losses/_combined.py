"""The four losses computed together."""

from collections.abc import Mapping
from typing import Literal, get_args, overload

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import as_number, check_choice, check_flag, check_number
from isospan.errors import OptionError
from isospan.guided.losses._inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_latents,
    checked_quantities,
    sizes,
    stacked,
)
from isospan.guided.losses._isotropy import Spectrum, check_isotropy_options
from isospan.guided.losses._stability import Metric, drift
from isospan.guided.losses._together import BATCH_TERMS, Plan, loss_of_batch
from isospan.guided.losses._whole import Whole
from isospan.moments import Moments, check_moments

TERMS = (*BATCH_TERMS, "stability")


@overload
def combined_loss(
    Z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    Y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    whole: Moments | None = None,
    return_terms: Literal[False] = False,
) -> Tensor: ...


@overload
def combined_loss(
    Z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    Y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    whole: Moments | None = None,
    return_terms: Literal[True],
) -> dict[str, Tensor]: ...


def combined_loss(
    Z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    Y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    whole: Moments | None = None,
    return_terms: bool = False,
) -> Tensor | dict[str, Tensor]:
    r"""Return the weighted sum of the alignment, disentanglement, isotropy and stability losses of one batch.

    .. math:: L = \sum_t w_t L_t

    The same values as :func:`alignment_loss`, :func:`disentanglement_loss`, :func:`isotropy_loss` and
    :func:`stability_loss`, computed from one product of the latents with all bases. ``torch.compile`` takes it in
    without a graph break, as one operation.

    Args:
        Z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        A: decoders {name: (k, P)}.
        Y: quantities {name: (B, ...)}, flattened to (B, P).
        W_prev: previous bases, or None.
        n_dir: leading singular values of the isotropy term.
        weights: {term: weight}; a term that is not named, or has weight 0, is left out and not computed. By default
            all four have weight 1.
        isotropy: ``"singular"`` or ``"variance"``, see :func:`isotropy_loss`.
        unbiased: remove the sampling floor of disentanglement, see :func:`disentanglement_loss`.
        metric: ``"frobenius"`` or ``"projector"``, see :func:`stability_loss`.
        whole: moments of the whole batch, where Z and Y are the part of it that this process holds (any number of
            samples, also none): see :meth:`isospan.moments.Moments.all_reduce_`. The loss is then that of the whole
            batch, and the gradient what this part adds to it: those of all parts, put together in Z and Y and summed
            in W and A, are the gradient of the whole (but for stability, of which every part has all).
        return_terms: return a dict of "total" and the four terms without their weights (0 where left out).

    Returns:
        Scalar in the precision of Z, or the dict of scalars, of which only "total" carries the gradient.

    Raises:
        OptionError: an unknown term, spectrum or metric.
        NameMismatchError: W, A, Y and W_prev name different quantities.
        ShapeError, DtypeError, DeviceMismatchError, DegenerateDataError: what the message says. NaN is not looked for;
            it makes the loss NaN. A squared error beyond the range of the precision makes it infinite.

    Example:
        >>> import torch
        >>> z, W = torch.randn(64, 6), {"a": torch.eye(6)[:2]}
        >>> terms = combined_loss(z, W, {"a": torch.ones(2, 1)}, {"a": z[:, :2].sum(1)}, W, return_terms=True)
        >>> terms["alignment"].round(decimals=4), terms["total"] == terms["isotropy"] + terms["alignment"]
        (tensor(0.), tensor(True))
    """
    weight = checked_weights(weights)
    check_flag(unbiased, what="unbiased")
    check_flag(return_terms, what="return_terms")
    if whole is not None:
        check_moments(whole, what="whole")
    check_isotropy_options(isotropy, n_dir)
    check_choice(metric, get_args(Metric), what="stability metric")
    Z = checked_latents(Z, whole)
    with full_precision(Z):
        Zc, W = centred(Z, whole), checked_bases(W, Z)
        Y = checked_quantities(Y, W, Z, whole)
        A = checked_decoders(A, W, Y)
        sums = None if whole is None else Whole.of(whole, W, A)
        plan = Plan(sizes(W), weight, unbiased, n_dir, isotropy)
        total, terms = loss_of_batch(plan, sums, Zc, stacked(W), [A[name] for name in W] + [Y[name] for name in W])
        terms["stability"] = Zc.new_zeros(())
        if weight["stability"] and W_prev is not None:
            change = drift(W, W_prev, metric)
            terms["stability"] = change.detach()
            total = torch.add(total, change, alpha=weight["stability"])
    return {"total": total, **terms} if return_terms else total


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of all four terms: 0 of those that are not named, 1 of each where none are given."""
    if weights is None:
        return dict.fromkeys(TERMS, 1.0)
    if not isinstance(weights, Mapping):
        raise OptionError(f"weights must be a dict of loss term: weight, got {weights!r}. Name the terms.")
    for term, weight in weights.items():
        check_choice(term, TERMS, what="loss term")
        check_number(weight, what=f"The weight of {term!r}")
    return {term: as_number(weights.get(term, 0.0)) for term in TERMS}
