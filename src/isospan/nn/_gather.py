"""Numbers at several places of a larger tensor, without a scattered gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def gather(values: Tensor, numbers: Tensor, places: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
    """Rows of values (p, ...) at every place, (places, ...): ``values[numbers]``.

    Where each value stands at equally many places, at least within long runs of values, its gradient is a sum over
    gathered rows, which takes a fraction of the time of the scattered sum that autograd would choose.

    Args:
        values: (p, ...).
        numbers: number of the value at every place, int32 (places,).
        places: those of the values, int32 (places,): in each run, the first of every value, then the second, and so on.
        runs: at how many places values stand, and how many such values follow one another.

    Example:
        >>> numbers, places = torch.tensor([1, 0, 1, 0]), torch.tensor([1, 0, 3, 2])
        >>> gather(torch.tensor([5.0, 7.0]), numbers, places, [(2, 2)])
        tensor([7., 5., 7., 5.])
    """
    function = Gather if torch.compiler.is_compiling() else GatherForwards  # which a tracer does not take
    return function.apply(values, numbers, places, runs)


class Gather(torch.autograd.Function):
    """The function of :func:`gather`, with its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, numbers: Tensor, places: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
        return values.index_select(0, numbers)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, numbers, places, ctx.runs = inputs
        ctx.save_for_backward(places)
        ctx.save_for_forward(numbers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (places,) = ctx.saved_tensors
        parts = gradient.index_select(0, places).split([times * count for times, count in ctx.runs])
        sums = [part.unflatten(0, run).sum(0) for part, run in zip(parts, ctx.runs, strict=True)]
        return sums[0] if len(sums) == 1 else torch.cat(sums), None, None, None


class GatherForwards(Gather):
    """The same with derivatives along directions, for ``torch.func.jvp``, ``jacfwd`` and ``hessian``."""

    @staticmethod
    def jvp(ctx: Any, values: Tensor, *_: None) -> Tensor:
        (numbers,) = ctx.saved_tensors
        return values.index_select(0, numbers)
