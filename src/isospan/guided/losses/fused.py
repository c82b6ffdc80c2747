"""Losses whose gradient is written down and computed together with the value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Gradients = tuple[Tensor | None, ...]
Kernel = Callable[..., tuple[Tensor, Gradients]]


def with_gradient(kernel: Kernel, *inputs: Tensor) -> Tensor:
    """Return the value of a kernel as a differentiable function of its inputs.

    The kernel is called as ``kernel(needed, *inputs)``, where ``needed`` says of each input whether its gradient is
    wanted, and returns the value and a tuple of gradients. Intermediate results of the size of the targets thus live
    for one call and not until the backward pass. First derivatives only; a second one raises.

    Example:
        >>> import torch
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> with_gradient(lambda needed, x: (x.square().sum(), (2 * x,)), x).backward()
        >>> x.grad
        tensor([6.])
    """
    return _Fused.apply(kernel, *inputs)  # type: ignore[return-value]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *inputs: Tensor) -> Tensor:
        value, gradients = kernel(ctx.needs_input_grad[1:], *inputs)
        ctx.save_for_backward(*gradients)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        return None, *(None if gradient is None else upstream * gradient for gradient in ctx.saved_tensors)
