"""Numbers at several places of a larger tensor, without a scattered gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Spread(torch.autograd.Function):
    """Rows of values (p, ...) at every place, (places, ...): ``values[spread]``.

    Where each value stands at equally many places, at least within long runs of values, its gradient is a sum over
    gathered rows, which takes a fraction of the time of the scattered sum that autograd would choose.

    Args (of ``apply``):
        values: (p, ...).
        spread: number of the value at every place, int32 (places,).
        gather: their places, int32 (places,): in each run, the first of every value, then the second, and so on.
        runs: at how many places values stand, and how many such values follow one another.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, spread: Tensor, gather: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
        return values.index_select(0, spread)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.runs = inputs[3]
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (gather,) = ctx.saved_tensors
        parts = gradient.index_select(0, gather).split([times * count for times, count in ctx.runs])
        sums = [part.unflatten(0, run).sum(0) for part, run in zip(parts, ctx.runs, strict=True)]
        return sums[0] if len(sums) == 1 else torch.cat(sums), None, None, None
