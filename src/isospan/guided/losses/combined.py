"""The four losses computed together."""

from collections.abc import Mapping
from typing import Literal, overload

import torch
from torch import Tensor

from isospan._checks import check_choice
from isospan.guided.losses.alignment import decoding_error
from isospan.guided.losses.disentanglement import squared_correlation
from isospan.guided.losses.inputs import (
    centred,
    checked_bases,
    checked_decoders,
    checked_quantities,
    exact_products,
    sizes,
    stacked,
)
from isospan.guided.losses.isotropy import Spectrum, check_isotropy_options, few_samples, residual, unevenness
from isospan.guided.losses.stability import Metric, stability_loss
from isospan.linalg import orthogonal_complement

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
    return_terms: bool = False,
) -> Tensor | dict[str, Tensor]:
    r"""Return the weighted sum of the alignment, disentanglement, isotropy and stability losses of one batch.

    .. math:: L = \sum_t w_t L_t

    The same values as :func:`alignment_loss`, :func:`disentanglement_loss`, :func:`isotropy_loss` and
    :func:`stability_loss`, computed from one product of the latents with all bases and their complement.

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
        return_terms: return a dict of "total" and the four terms without their weights (0 where left out).

    Returns:
        Scalar in the precision of Z, or the dict of scalars.

    Raises:
        OptionError: an unknown term, spectrum or metric.
        NameMismatchError: W, A, Y and W_prev name different quantities.
        ShapeError, DtypeError, DeviceMismatchError, DegenerateDataError: what the message says.
        NonFiniteError: Z contains NaN or infinity (only with ``isotropy="singular"``; else the loss is NaN).

    Example:
        >>> import torch
        >>> z, W = torch.randn(64, 6), {"a": torch.eye(6)[:2]}
        >>> terms = combined_loss(z, W, {"a": torch.ones(2, 1)}, {"a": z[:, :2].sum(1)}, W, return_terms=True)
        >>> terms["alignment"].round(decimals=4), terms["total"] == terms["isotropy"] + terms["alignment"]
        (tensor(0.), tensor(True))
    """
    weight = _checked_weights(weights)
    check_isotropy_options(isotropy, n_dir)
    with exact_products(Z):
        Zc, W = centred(Z), checked_bases(W, Z)
        Y = checked_quantities(Y, W, Z)
        A = checked_decoders(A, W, Y)
        S, free, d = _coordinates(Zc, stacked(W), with_free=weight["isotropy"] != 0)
        compute = {
            "alignment": lambda: decoding_error(S.split(sizes(W), dim=1), [A[n] for n in W], [Y[n] for n in W]),
            "disentanglement": lambda: squared_correlation(S, sizes(W), unbiased=unbiased),
            "isotropy": lambda: unevenness(free, d, n_dir=n_dir, spectrum=isotropy),
            "stability": lambda: stability_loss(W, W_prev, metric=metric).to(Zc.dtype),
        }
        terms = {term: compute[term]() if weight[term] else Zc.new_zeros(()) for term in TERMS}
        total = torch.stack([weight[term] * value for term, value in terms.items()]).sum()
    return {"total": total} | terms if return_terms else total


def _coordinates(Zc: Tensor, W_all: Tensor, *, with_free: bool) -> tuple[Tensor, Tensor, int]:
    """Coordinates in the subspaces (B, Σk) and outside, and the dimension of the latter."""
    if not with_free:
        return Zc @ W_all.mT, Zc[:, :0], 0
    fixed = W_all.detach()
    if few_samples(Zc, fixed):
        return Zc @ W_all.mT, *residual(Zc, fixed)
    complement = orthogonal_complement(fixed)
    S, free = (Zc @ torch.cat([W_all, complement]).mT).split([len(W_all), len(complement)], dim=1)
    return S, free, min(len(Zc) - 1, len(complement))


def _checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(TERMS, 1.0)
    for term in weights:
        check_choice(term, TERMS, what="loss term")
    return {term: float(weights.get(term, 0.0)) for term in TERMS}
