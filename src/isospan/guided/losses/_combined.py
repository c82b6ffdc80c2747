"""The weighted sum of the four losses."""

from collections.abc import Mapping
from typing import Literal, get_args, overload

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan._core.checks import as_number, check_choice, check_flag, check_number
from isospan.errors import OptionError
from isospan.guided.losses._batch_terms import BATCH_TERMS, Options, weighted_terms
from isospan.guided.losses._global_sums import GlobalSums
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
from isospan.guided.losses._stability import Metric, change_of_bases
from isospan.moments import Moments, check_moments

TERMS = (*BATCH_TERMS, "stability")


@overload
def combined_loss(
    z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    global_moments: Moments | None = None,
    return_terms: Literal[False] = False,
) -> Tensor: ...


@overload
def combined_loss(
    z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    global_moments: Moments | None = None,
    return_terms: Literal[True],
) -> dict[str, Tensor]: ...


def combined_loss(
    z: Tensor,
    W: Mapping[str, Tensor],
    A: Mapping[str, Tensor],
    y: Mapping[str, Tensor],
    W_prev: Mapping[str, Tensor] | None = None,
    *,
    n_dir: int = 32,
    weights: Mapping[str, float] | None = None,
    isotropy: Spectrum = "singular",
    unbiased: bool = False,
    metric: Metric = "frobenius",
    global_moments: Moments | None = None,
    return_terms: bool = False,
) -> Tensor | dict[str, Tensor]:
    r"""Return the weighted sum of the alignment, disentanglement, isotropy and stability losses of a batch.

    .. math:: L = \sum_t w_t L_t

    The values are those of :func:`~isospan.guided.losses.alignment_loss`,
    :func:`~isospan.guided.losses.disentanglement_loss`, :func:`~isospan.guided.losses.isotropy_loss` and
    :func:`~isospan.guided.losses.stability_loss`, from one product of the latents with all bases. ``torch.compile``
    compiles it without a graph break, as one operator.

    Args:
        z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        A: decoders {name: (k, P)}.
        y: quantities {name: (B, ...)}, flattened to (B, P).
        W_prev: bases before the last solve, or None before the second solve.
        n_dir: largest number of singular values of the isotropy loss.
        weights: {term: weight}. A term without a weight, or with weight 0, is not computed. By default all four weights
            are 1.
        isotropy: ``"singular"`` or ``"variance"``, see ``isotropy_loss``.
        unbiased: remove the sampling floor of disentanglement, see ``disentanglement_loss``.
        metric: ``"frobenius"`` or ``"projector"``, see ``stability_loss``.
        global_moments: moments of the global batch, if z and y are the shard of this process, with any B ≥ 0; see
            :meth:`isospan.moments.Moments.all_reduce_`. The loss is then that of the global batch. The gradient in z
            and y is that of the samples of the shard. The gradient in W and A has to be summed over the processes,
            except for the stability term, whose gradient is complete in every process.
        return_terms: return a dict of "total" and the four terms, without their weights and 0 where not computed.

    Returns:
        Scalar in the precision of z (float32 for half precision), or the dict of scalars, of which only "total" has a
        gradient. Values are not checked: NaN or infinity in an argument, and a squared error beyond the range of the
        precision, make it NaN or infinite.

    Raises:
        OptionError: an unknown term, spectrum or metric, n_dir < 1, a weight that is no number, or a flag that is not
            True or False.
        NameMismatchError: W, A, y, W_prev and global_moments are not of the same names.
        ShapeError: z, W, A, W_prev or global_moments have another shape, or y another number of samples or no entries.
        DtypeError: a tensor is not real floating point, or global_moments are no Moments.
        DeviceMismatchError: a tensor is on another device than z.
        DegenerateDataError: fewer than two samples (three with ``unbiased=True``), or no quantity.

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
    if global_moments is not None:
        check_moments(global_moments, what="global_moments")
    check_isotropy_options(isotropy, n_dir)
    check_choice(metric, get_args(Metric), what="stability metric")
    z = checked_latents(z, global_moments)
    with full_precision(z):
        zc, W = centred(z, global_moments), checked_bases(W, z)
        y = checked_quantities(y, W, z, global_moments)
        A = checked_decoders(A, W, y)
        sums = None if global_moments is None else GlobalSums.from_moments(global_moments, W, A)
        options = Options(sizes(W), [weight[term] for term in BATCH_TERMS], unbiased, n_dir, isotropy)
        total, terms = weighted_terms(options, sums, zc, stacked(W), [A[name] for name in W] + [y[name] for name in W])
        terms["stability"] = zc.new_zeros(())
        if weight["stability"] and W_prev is not None:
            change = change_of_bases(W, W_prev, metric)
            terms["stability"] = change.detach()
            total = torch.add(total, change, alpha=weight["stability"])
    return {"total": total, **terms} if return_terms else total


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of all four terms: 0 for a term without one, and 1 for all if ``weights`` is None."""
    if weights is None:
        return dict.fromkeys(TERMS, 1.0)
    if not isinstance(weights, Mapping):
        raise OptionError(f"weights must be a dict of loss term: weight, got {weights!r}. Name the terms.")
    for term, weight in weights.items():
        check_choice(term, TERMS, what="loss term")
        check_number(weight, what=f"The weight of {term!r}")
    return {term: as_number(weights.get(term, 0.0)) for term in TERMS}
