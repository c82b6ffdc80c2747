"""The terms of the guidance: their inputs from a batch and what was learnt before, and their weighted sum."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isospan._core.checks import working_dtype
from isospan._core.processes import Ranks
from isospan.guided._alignment import alignment, inputs_of_alignment
from isospan.guided._batch import Batch
from isospan.guided._solution import Solution
from isospan.guided.losses._combined import combined_loss
from isospan.moments import Moments, filled, present
from isospan.subspaces._solve import target_scales


def inputs_of_terms(
    z: Tensor, batch: Batch, weights: Mapping[str, float], moments: Moments, solution: Solution, ranks: Ranks
) -> dict[str, Any]:
    """Return the inputs of the terms with a weight, as copies: a solve before the backward pass changes nothing."""
    others = {term: weight for term, weight in weights.items() if term != "alignment" and weight}
    count = z.shape[0] if batch.joint is None else float(batch.joint.count)
    inputs: dict[str, Any] = {}
    if weights.get("alignment"):
        weighted = batch.weights is not None or moments.missing == "skip"
        inputs["alignment"] = inputs_of_alignment(z, batch, solution, ranks, count, weighted=weighted)
    if others and count >= 2:
        options = {"weights": others, "return_terms": True}
        inputs["others"] = _inputs_of_others(z, batch, moments, solution, ranks) | options
    return inputs


def _inputs_of_others(z: Tensor, batch: Batch, moments: Moments, solution: Solution, ranks: Ranks) -> dict[str, Any]:
    """Return the inputs of :func:`combined_loss`, in its precision and without units."""
    dtype, W_prev = working_dtype(z), solution.W_prev
    if moments.missing == "skip":  # the other terms do not read the quantities
        batch = batch._replace(flat=filled(batch.flat, present(batch.flat)))
    scale, mean = target_scales(moments), moments.y_mean
    cast = lambda tensors: {name: t.to(dtype, copy=True) for name, t in tensors.items()}  # noqa: E731
    inputs = {
        "z": z.to(dtype),
        "W": cast(solution.W),
        "A": cast(solution.A),
        "y": {name: ((y - mean[name].to(y.dtype)) / scale[name]).to(dtype) for name, y in batch.flat.items()},
        "W_prev": None if W_prev is None else cast(W_prev),
    }
    if batch.joint is None:
        return inputs
    shift = {name: mean[name].to(y.dtype).double() for name, y in batch.flat.items()}
    standard = batch.joint.scaled({name: 1 / s for name, s in scale.items()}, shift=shift)
    return inputs | {"z": ranks.for_average(inputs["z"]), "global_moments": standard}


def weighted_terms(
    z: Tensor, inputs: Mapping[str, Any], weights: Mapping[str, float]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the terms with these inputs, which is zero without any, and each term for logging."""
    terms: dict[str, Tensor] = {}
    loss = None
    if "alignment" in inputs:
        loss = alignment(**inputs["alignment"])
        terms["total"] = terms["alignment"] = loss.detach()
        if len(inputs) == 1 and weights["alignment"] == 1:
            return loss, terms
        loss = weights["alignment"] * loss
    if "others" in inputs:
        others = combined_loss(**inputs["others"])
        loss = others["total"] if loss is None else loss + others["total"]
        terms |= {term: value.detach() for term, value in others.items() if weights.get(term) and term != "alignment"}
    loss = (z * 0).sum() if loss is None else loss
    return loss, terms | {"total": loss.detach()} if inputs else {}
