"""The four losses computed together."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args, overload

import torch
from torch import Tensor

from isospan._checks import check_choice
from isospan.guided.losses.alignment import decoding_error
from isospan.guided.losses.disentanglement import squared_correlation
from isospan.guided.losses.fused import Gradients, with_gradient
from isospan.guided.losses.inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_quantities,
    exact_products,
    sizes,
    stacked,
)
from isospan.guided.losses.isotropy import (
    Spectrum,
    check_isotropy_options,
    leading_free_directions,
    singular_spread,
    variance_spread,
)
from isospan.guided.losses.stability import Metric, drift
from isospan.guided.losses.whole import Whole
from isospan.moments import Moments

TERMS = ("alignment", "disentanglement", "isotropy", "stability")


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
    :func:`stability_loss`, computed from one product of the latents with all bases.

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
            it makes the loss NaN.

    Example:
        >>> import torch
        >>> z, W = torch.randn(64, 6), {"a": torch.eye(6)[:2]}
        >>> terms = combined_loss(z, W, {"a": torch.ones(2, 1)}, {"a": z[:, :2].sum(1)}, W, return_terms=True)
        >>> terms["alignment"].round(decimals=4), terms["total"] == terms["isotropy"] + terms["alignment"]
        (tensor(0.), tensor(True))
    """
    weight = checked_weights(weights)
    check_isotropy_options(isotropy, n_dir)
    check_choice(metric, get_args(Metric), what="stability metric")
    with exact_products(Z):
        Zc, W = centred(Z, whole), checked_bases(W, Z)
        Y = checked_quantities(Y, W, Z)
        A = checked_decoders(A, W, Y)
        sums = None if whole is None else Whole.of(whole, W, A)
        terms: dict[str, Tensor] = dict.fromkeys(TERMS, Zc.new_zeros(()))
        kernel = partial(_together, _Plan(sizes(W), weight, unbiased, n_dir, isotropy), sums, terms)
        total = with_gradient(kernel, Zc, stacked(W), *(A[name] for name in W), *(Y[name] for name in W))
        if weight["stability"] and W_prev is not None:
            change = drift(W, W_prev, metric)
            terms["stability"] = change.detach()
            total = total + weight["stability"] * change
    return {"total": total} | terms if return_terms else total


class _Plan(NamedTuple):
    """What to compute: subspace dimensions, weights and options."""

    k: list[int]
    weight: dict[str, float]
    unbiased: bool
    n_dir: int
    isotropy: Spectrum


def _together(
    plan: _Plan,
    whole: Whole | None,
    terms: dict[str, Tensor],
    needed: Sequence[bool],
    Zc: Tensor,
    W_all: Tensor,
    *A_and_Y: Tensor,
) -> tuple[Tensor, Gradients]:
    """Value and gradients of the weighted sum without stability; the terms are left in ``terms``.

    Every term is a function of S = Zc W_allᵀ, of U = Zc Fᵀ with the leading free directions F, or of Zc itself. So
    dL/dZc = [dL/dS, dL/dU] [W_all; F] + (the last) and dL/dW_all = (dL/dS)ᵀ Zc.
    """
    (for_Z, for_W, *for_rest), weight, K = needed, plan.weight, len(W_all)
    singular = plan.isotropy == "singular" and weight["isotropy"] != 0
    frame = torch.cat([W_all, leading_free_directions(Zc, W_all, plan.n_dir, whole=whole)]) if singular else W_all
    T = Zc @ frame.mT
    S, U, for_S = T[:, :K], T[:, K:], for_Z or for_W
    G = None if whole is None else whole.gram(frame)
    of_S, of_U = (None, None) if whole is None or G is None else ((whole.count, G[:K, :K]), G.diagonal()[K:])
    calls = {
        "alignment": partial(decoding_error, plan.k, (for_S, *for_rest), S, *A_and_Y, whole=whole),
        "disentanglement": partial(squared_correlation, plan.k, plan.unbiased, (for_S,), S, whole=of_S),
        "isotropy": partial(singular_spread, (for_Z,), U, squares=of_U)
        if singular
        else partial(variance_spread, W_all, (for_Z,), Zc, whole=whole),
    }
    results = {term: calls[term]() for term in calls if weight[term]}
    terms.update({term: value for term, (value, _) in results.items()})
    total = sum((weight[term] * value for term, (value, _) in results.items()), start=Zc.new_zeros(()))

    gradient = {term: parts[0] for term, (_, parts) in results.items() if parts[0] is not None}
    dT, dZ, dW = torch.zeros_like(T), None, None
    for term, part in (("alignment", dT[:, :K]), ("disentanglement", dT[:, :K]), ("isotropy", dT[:, K:])):
        if term in gradient and (singular or term != "isotropy"):
            part.add_(gradient[term], alpha=weight[term])
    if for_Z:
        dZ = dT @ frame
        if "isotropy" in gradient and not singular:
            dZ.add_(gradient["isotropy"], alpha=weight["isotropy"])
    if for_W:
        dW = dT[:, :K].mT @ Zc
    rest = results["alignment"][1][1:] if weight["alignment"] else [None] * len(A_and_Y)
    return total, (dZ, dW, *(None if part is None else weight["alignment"] * part for part in rest))


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of all four terms: 0 of those that are not named, 1 of each where none are given."""
    if weights is None:
        return dict.fromkeys(TERMS, 1.0)
    for term in weights:
        check_choice(term, TERMS, what="loss term")
    return {term: float(weights.get(term, 0.0)) for term in TERMS}
