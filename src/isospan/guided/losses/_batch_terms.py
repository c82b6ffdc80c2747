"""Alignment, disentanglement and isotropy of a batch in one function, which compiled code calls as one operator."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import OptionError
from isospan.guided.losses._alignment import decoding_error
from isospan.guided.losses._disentanglement import squared_correlation
from isospan.guided.losses._global_sums import GlobalSums
from isospan.guided.losses._inputs import rescaled
from isospan.guided.losses._isotropy import (
    Spectrum,
    leading_free_directions,
    rounding_of,
    singular_spread,
    variance_spread,
)
from isospan.guided.losses._precomputed_gradient import Gradients, with_precomputed_gradient

BATCH_TERMS: tuple[str, ...] = ("alignment", "disentanglement", "isotropy")


class Options(NamedTuple):
    """Subspace dimensions, a weight for each of ``BATCH_TERMS``, and options of the terms."""

    k: list[int]
    weights: list[float]
    unbiased: bool
    n_dir: int
    isotropy: Spectrum


def weighted_terms(
    options: Options, sums: GlobalSums | None, zc: Tensor, W_all: Tensor, A_and_Y: Sequence[Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the three terms, with gradient, and the terms, without; terms of weight 0 are zero."""
    if torch.compiler.is_compiling():
        inputs = (zc, W_all, *A_and_Y)
        tensors = [] if sums is None else [sums.scatter_zz, sums.errors]
        needed = [torch.is_grad_enabled() and t.requires_grad for t in inputs]
        count = 0 if sums is None else sums.count
        total, values, _ = _operator(zc, W_all, list(A_and_Y), tensors, count, *options, needed)
        return total, dict(zip(BATCH_TERMS, values.detach().unbind(), strict=True))
    terms = dict.fromkeys(BATCH_TERMS, zc.new_zeros(()))
    return with_precomputed_gradient(partial(_sum_and_gradients, options, sums, terms), zc, W_all, *A_and_Y), terms


def _sum_and_gradients(
    options: Options,
    sums: GlobalSums | None,
    terms: dict[str, Tensor],
    needed: Sequence[bool],
    zc: Tensor,
    W_all: Tensor,
    *A_and_Y: Tensor,
) -> tuple[Tensor, Gradients]:
    """The weighted sum and its gradients in all tensors; writes the terms into ``terms``.

    A term is a function of the coordinates S = zc W_allᵀ, of U = zc Fᵀ with the leading free directions F, or of zc. So
    dL/dzc = [dL/dS, dL/dU] [W_all; F], plus the gradient of the last kind, and dL/dW_all = (dL/dS)ᵀ zc. Latents are
    divided by a scale, so that squares neither overflow nor underflow, and decoders are multiplied by it.
    """
    if sums is not None and torch.is_grad_enabled():
        raise OptionError(
            "The loss of a global batch has first derivatives only: second ones would need the samples of the other "
            "processes. Differentiate once, or compute the loss of each process alone (a process_group of one process, "
            "or global_moments=None)."
        )
    need_z, need_W, *need_A_and_Y = needed
    weight, K, Q = dict(zip(BATCH_TERMS, options.weights, strict=True)), len(W_all), len(options.k)
    zc, scale = rescaled(zc)
    A, Y = [A_q * scale for A_q in A_and_Y[:Q]], A_and_Y[Q:]
    sums = None if sums is None else sums.rescaled(scale)
    singular = options.isotropy == "singular" and weight["isotropy"] != 0
    frame = torch.cat([W_all, leading_free_directions(zc, W_all, options.n_dir, sums=sums)]) if singular else W_all
    T = zc @ frame.mT
    S, U, need_S = T[:, :K], T[:, K:], need_z or need_W
    gram, squares = None, None
    if sums is not None:
        G = sums.gram(frame)
        gram, squares = (sums.count, G[:K, :K]), G.diagonal()[K:]
    calls = {
        "alignment": partial(decoding_error, options.k, (need_S, *need_A_and_Y), S, *A, *Y, sums=sums),
        "disentanglement": partial(squared_correlation, options.k, options.unbiased, (need_S,), S, gram=gram),
        "isotropy": partial(singular_spread, (need_z,), U, rounding_of(zc, sums), squares=squares)
        if singular
        else partial(variance_spread, W_all, (need_z,), zc, sums=sums),
    }
    results = {term: calls[term]() for term in calls if weight[term]}
    terms.update({term: value.detach() for term, (value, _) in results.items()})
    total = sum((weight[term] * value for term, (value, _) in results.items()), zc.new_zeros(()))

    first = {term: gradients[0] for term, (_, gradients) in results.items()}
    dS = _weighted_sum(S, [(weight[term], first.get(term)) for term in ("alignment", "disentanglement")])
    dW = dS.mT @ zc if need_W else None
    dz = None
    if need_z:
        free = first.get("isotropy")
        free = free @ frame[K:] if singular and free is not None else free
        dz = _weighted_sum(zc, [(1.0, dS @ W_all), (weight["isotropy"], free)]) / scale
    if weight["alignment"]:
        factors = [weight["alignment"] * scale] * Q + [weight["alignment"]] * Q
        rest = results["alignment"][1][1:]
        dA_and_dY = [None if g is None else factor * g for g, factor in zip(rest, factors, strict=True)]
    else:
        dA_and_dY = [torch.zeros_like(x) if need else None for x, need in zip(A_and_Y, need_A_and_Y, strict=True)]
    return total, (dz, dW, *dA_and_dY)


def _weighted_sum(like: Tensor, parts: Sequence[tuple[float, Tensor | None]]) -> Tensor:
    """Σ weight · part over the parts that are not None, with the shape of ``like``."""
    total = torch.zeros_like(like)
    for weight, part in parts:
        if part is not None:
            total.add_(part, alpha=weight)
    return total


@torch.library.custom_op("isospan::weighted_terms", mutates_args=())
def _operator(
    zc: Tensor,
    W_all: Tensor,
    A_and_Y: list[Tensor],
    sums: list[Tensor],
    count: int,
    k: list[int],
    weights: list[float],
    unbiased: bool,
    n_dir: int,
    isotropy: str,
    needed: list[bool],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The sum, the three terms and the needed gradients.

    It is opaque to a compiler, which could not trace the decompositions: their sizes depend on values, and some call
    LAPACK through SciPy.
    """
    options = Options(k, weights, unbiased, n_dir, isotropy)  # pyright: ignore[reportArgumentType]
    global_sums = GlobalSums(count, *sums) if sums else None
    terms = dict.fromkeys(BATCH_TERMS, zc.new_zeros(()))
    with torch.no_grad(), full_precision(zc):
        total, gradients = _sum_and_gradients(options, global_sums, terms, needed, zc, W_all, *A_and_Y)
    return total, torch.stack(list(terms.values())), [g.contiguous() for g in gradients if g is not None]


@_operator.register_fake
def _empty_outputs(
    zc: Tensor, W_all: Tensor, A_and_Y: list[Tensor], *others: Any
) -> tuple[Tensor, Tensor, list[Tensor]]:
    inputs = zip((zc, W_all, *A_and_Y), others[-1], strict=True)
    return zc.new_empty(()), zc.new_empty(3), [t.new_empty(t.shape) for t, needed in inputs if needed]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, list[Tensor]]) -> None:
    ctx.needed, ctx.sums = inputs[-1], len(inputs[3])
    ctx.save_for_backward(*output[2])


def _backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Any, ...]:
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph=True, not traced by a compiler
        raise OptionError(
            "A compiled loss has first derivatives only. Differentiate once, or compute the loss outside of what "
            "torch.compile compiles."
        )
    gradients = iter(ctx.saved_tensors)
    dz, dW, *rest = [upstream * next(gradients) if needed else None for needed in ctx.needed]
    return dz, dW, rest, [None] * ctx.sums, *[None] * 7


_operator.register_autograd(_backward, setup_context=_setup_context)
