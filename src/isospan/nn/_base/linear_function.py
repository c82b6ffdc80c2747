"""Linear functions whose gradients are computed as they say."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Constant = Any
"""A tensor that needs no gradient, or anything else."""


def linear_function(
    x: Tensor, function: Callable[..., Tensor], adjoint: Callable[..., Tensor], *constants: Constant
) -> Tensor:
    """The value ``function(x, *constants)``, linear in x, whose gradient is ``adjoint(gradient, *constants)``.

    It is for functions that move numbers to several places: autograd would scatter the gradient, where a gather from
    these places takes a fraction of the time. Both may use all that autograd and ``torch.func`` know.

    Args:
        x: what the function is linear in.
        function: takes x and the constants.
        adjoint: takes what function returns, and the constants, and returns what x is.
        constants: tensors among them must be here, not in the functions, so that ``torch.func`` sees them.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> linear_function(x, torch.mul, torch.mul, 3.0).sum().backward()
        >>> x.grad
        tensor([3., 3.])
    """
    if not (x.requires_grad and torch.is_grad_enabled()):
        return function(x, *constants)
    kind = LinearFunction if torch.compiler.is_compiling() else LinearFunctionForwards  # which a tracer does not take
    return kind.apply(x, function, adjoint, *constants)


def reordered(x: Tensor, order: Tensor | None, back: Tensor | None) -> Tensor:
    """The rows of x (n, ...) in another order, where ``back`` is the inverse of ``order``; both None for the same."""
    return x if order is None else linear_function(x, _rows, _rows_back, order, back)


def _rows(x: Tensor, order: Tensor, back: Tensor) -> Tensor:
    return x.index_select(0, order)


def _rows_back(x: Tensor, order: Tensor, back: Tensor) -> Tensor:
    return x.index_select(0, back)


def joined(parts: Sequence[Tensor], *, dim: int) -> Tensor:
    """The parts one after another; a single one as it is, without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


def picked(x: Tensor, order: Tensor | None) -> Tensor:
    """The entries of x (..., n) in another order; None for the same."""
    return x if order is None else linear_function(x, _picked, _picked_back, order)


def _picked(x: Tensor, order: Tensor) -> Tensor:
    return x.index_select(-1, order)


def _picked_back(x: Tensor, order: Tensor) -> Tensor:
    return x.index_copy(-1, order.long(), x)


class LinearFunction(torch.autograd.Function):
    """The function of :func:`linear_function`, with its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, function: Callable[..., Tensor], adjoint: Callable[..., Tensor], *constants: Constant
    ) -> Tensor:
        return function(x, *constants)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.function, ctx.adjoint, *constants = inputs
        tensors = [constant for constant in constants if isinstance(constant, Tensor)]
        ctx.others = [() if isinstance(constant, Tensor) else (constant,) for constant in constants]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        constants = _constants(ctx)
        return ctx.adjoint(gradient, *constants), None, None, *(None for _ in constants)


# torch asks for the signature at every call, and finding it takes longer than all else here
SIGNATURE = inspect.signature(LinearFunction.forward)
LinearFunction.forward.__signature__ = SIGNATURE  # pyright: ignore[reportFunctionMemberAccess]


class LinearFunctionForwards(LinearFunction):
    """The same with derivatives along directions, for ``torch.func.jvp``, ``jacfwd`` and ``hessian``."""

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: None) -> Tensor:
        return ctx.function(x, *_constants(ctx))


def _constants(ctx: Any) -> list[Constant]:
    tensors = iter(ctx.saved_tensors)
    return [other[0] if other else next(tensors) for other in ctx.others]
