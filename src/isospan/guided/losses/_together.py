"""Alignment, disentanglement and isotropy in one kernel, which compiled code calls as a single operation."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import OptionError
from isospan.guided.losses._alignment import decoding_error
from isospan.guided.losses._disentanglement import squared_correlation
from isospan.guided.losses._fused import Gradients, with_gradient
from isospan.guided.losses._inputs import in_units
from isospan.guided.losses._isotropy import (
    Spectrum,
    leading_free_directions,
    rounding_of,
    singular_spread,
    variance_spread,
)
from isospan.guided.losses._whole import Whole

BATCH_TERMS: tuple[str, ...] = ("alignment", "disentanglement", "isotropy")


class Plan(NamedTuple):
    """What to compute: subspace dimensions, weights and options."""

    k: list[int]
    weight: dict[str, float]
    unbiased: bool
    n_dir: int
    isotropy: Spectrum


def together(
    plan: Plan,
    whole: Whole | None,
    terms: dict[str, Tensor],
    needed: Sequence[bool],
    Zc: Tensor,
    W_all: Tensor,
    *A_and_Y: Tensor,
) -> tuple[Tensor, Gradients]:
    """Value and gradients of the weighted sum without stability; the terms are left in ``terms``.

    Every term is a function of S = Zc W_allᵀ, of U = Zc Fᵀ with the leading free directions F, or of Zc itself. So
    dL/dZc = [dL/dS, dL/dU] [W_all; F] + (the last) and dL/dW_all = (dL/dS)ᵀ Zc. Latents are taken in a unit, in which
    their squares neither overflow nor underflow, and decoders in its reciprocal.
    """
    if whole is not None and torch.is_grad_enabled():
        raise OptionError(
            "The loss of a batch that several processes share has first derivatives only: second ones would need the "
            "samples of the others. Differentiate once, or give each process a loss of its own (a process_group of "
            "one process, or whole=None)."
        )
    (for_Z, for_W, *for_rest), weight, K, Q = needed, plan.weight, len(W_all), len(plan.k)
    Zc, unit = in_units(Zc)
    A, Y = [decoder * unit for decoder in A_and_Y[:Q]], A_and_Y[Q:]
    whole = None if whole is None else whole.in_units(unit)
    singular = plan.isotropy == "singular" and weight["isotropy"] != 0
    frame = torch.cat([W_all, leading_free_directions(Zc, W_all, plan.n_dir, whole=whole)]) if singular else W_all
    T = Zc @ frame.mT
    S, U, for_S = T[:, :K], T[:, K:], for_Z or for_W
    G = None if whole is None else whole.gram(frame)
    of_S, of_U = (None, None) if whole is None or G is None else ((whole.count, G[:K, :K]), G.diagonal()[K:])
    calls = {
        "alignment": partial(decoding_error, plan.k, (for_S, *for_rest), S, *A, *Y, whole=whole),
        "disentanglement": partial(squared_correlation, plan.k, plan.unbiased, (for_S,), S, whole=of_S),
        "isotropy": partial(singular_spread, (for_Z,), U, rounding_of(Zc, whole), squares=of_U)
        if singular
        else partial(variance_spread, W_all, (for_Z,), Zc, whole=whole),
    }
    results = {term: calls[term]() for term in calls if weight[term]}
    terms.update({term: value.detach() for term, (value, _) in results.items()})
    total = sum((weight[term] * value for term, (value, _) in results.items()), Zc.new_zeros(()))
    gradient = {term: parts[0] for term, (_, parts) in results.items()}
    dS = _weighted_sum(S, [(weight[term], gradient.get(term)) for term in ("alignment", "disentanglement")])
    dW, dZ = dS.mT @ Zc if for_W else None, None
    if for_Z:
        free = gradient.get("isotropy")
        through_U = free @ frame[K:] if singular and free is not None else free
        dZ = _weighted_sum(Zc, [(1.0, dS @ W_all), (weight["isotropy"], through_U)]) / unit
    rest = results["alignment"][1][1:] if weight["alignment"] else [None] * len(A_and_Y)
    scale = [weight["alignment"] * unit] * Q + [weight["alignment"]] * Q
    dA_and_dY = (
        torch.zeros_like(x) if wants and part is None else None if part is None else factor * part
        for x, wants, factor, part in zip(A_and_Y, for_rest, scale, rest, strict=True)
    )
    return total, (dZ, dW, *dA_and_dY)


def _weighted_sum(like: Tensor, parts: Sequence[tuple[float, Tensor | None]]) -> Tensor:
    """Σ weight · part of the parts that there are, written over the first of them; zero without any."""
    total = None
    for weight, part in parts:
        if part is not None:
            if total is None:
                total = part if weight == 1 else part.mul_(weight)
            else:
                total.add_(part, alpha=weight)
    return torch.zeros_like(like) if total is None else total


def loss_of_batch(
    plan: Plan, whole: Whole | None, Zc: Tensor, W_all: Tensor, A_and_Y: Sequence[Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the three terms, with gradient, and the terms, without; those left out are zero."""
    if torch.compiler.is_compiling():
        inputs = (Zc, W_all, *A_and_Y)
        sums = [] if whole is None else [whole.scatter_zz, whole.errors]
        needed = [torch.is_grad_enabled() and t.requires_grad for t in inputs]
        count = 0 if whole is None else whole.count
        weight = [plan.weight[term] for term in BATCH_TERMS]
        options = (plan.k, weight, plan.unbiased, plan.n_dir, plan.isotropy, needed)
        total, values, _ = _as_one_operation(Zc, W_all, list(A_and_Y), sums, count, *options)
        return total, dict(zip(BATCH_TERMS, values.detach().unbind(), strict=True))
    terms = dict.fromkeys(BATCH_TERMS, Zc.new_zeros(()))
    return with_gradient(partial(together, plan, whole, terms), Zc, W_all, *A_and_Y), terms


@torch.library.custom_op("isospan::loss_of_batch", mutates_args=())
def _as_one_operation(
    Zc: Tensor,
    W_all: Tensor,
    A_and_Y: list[Tensor],
    sums: list[Tensor],
    count: int,
    k: list[int],
    weight: list[float],
    unbiased: bool,
    n_dir: int,
    isotropy: str,
    needed: list[bool],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The kernel, opaque to a compiler: its decompositions take sizes from values, and call LAPACK through SciPy.

    Returns the total, the three terms, and the gradients that are needed.
    """
    plan = Plan(k, dict(zip(BATCH_TERMS, weight, strict=True)), unbiased, n_dir, isotropy)  # pyright: ignore
    whole = Whole(count, *sums) if sums else None
    terms = dict.fromkeys(BATCH_TERMS, Zc.new_zeros(()))
    with torch.no_grad(), full_precision(Zc):
        total, gradients = together(plan, whole, terms, needed, Zc, W_all, *A_and_Y)
    in_full = [g.contiguous() for g in gradients if g is not None]
    return total, torch.stack(list(terms.values())), in_full


@_as_one_operation.register_fake
def _shapes(Zc: Tensor, W_all: Tensor, A_and_Y: list[Tensor], *options: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
    inputs = zip((Zc, W_all, *A_and_Y), options[-1], strict=True)
    return Zc.new_empty(()), Zc.new_empty(3), [t.new_empty(t.shape) for t, needed in inputs if needed]


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, list[Tensor]]) -> None:
    ctx.needed, ctx.sums = inputs[-1], len(inputs[3])
    ctx.save_for_backward(*output[2])


def _multiply(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Any, ...]:
    if (
        torch.is_grad_enabled() and not torch.compiler.is_compiling()
    ):  # create_graph=True, and no compiler that is tracing this
        raise OptionError(
            "A compiled loss has first derivatives only. Differentiate once, or compute the loss outside of what "
            "torch.compile compiles."
        )
    gradients = iter(ctx.saved_tensors)
    for_Z, for_W, *rest = [upstream * next(gradients) if needed else None for needed in ctx.needed]
    return for_Z, for_W, rest, [None] * ctx.sums, *[None] * 7


_as_one_operation.register_autograd(_multiply, setup_context=_keep_gradients)
