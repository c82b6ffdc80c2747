"""Losses whose gradient is written down and computed together with the value."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from isospan._core.autocast import full_precision

Gradients = tuple[Tensor | None, ...]
Kernel = Callable[..., tuple[Tensor, Gradients]]


def with_gradient(kernel: Kernel, *inputs: Tensor, traceable: bool = False) -> Tensor:
    """Return the value of a kernel as a differentiable function of its inputs.

    The kernel is called as ``kernel(needed, *inputs)``, where ``needed`` says of each input whether its gradient is
    wanted, and returns the value and a tuple of gradients. They are computed without a graph, so that intermediate
    results of the size of the targets live for one call only. The inputs are kept until the backward pass.

    Where a backward pass is itself to be differentiated (``create_graph=True``, ``torch.func``), the kernel is called
    again with a graph. So its gradients have to be differentiable expressions in its inputs; derivatives of every order
    are then right.

    A compiler takes the gradients in as constants, so that derivatives of ``torch.func.grad`` would be zero. Where it
    can trace the kernel (``traceable``), it differentiates the value by itself.

    Example:
        >>> import torch
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> cube = with_gradient(lambda needed, x: (x.pow(3).sum(), (3 * x.square(),)), x)
        >>> (first,) = torch.autograd.grad(cube, x, create_graph=True)
        >>> first, torch.autograd.grad(first, x)
        (tensor([27.], grad_fn=<MulBackward0>), (tensor([18.]),))
    """
    if traceable and torch.compiler.is_compiling():
        return kernel([False] * len(inputs), *inputs)[0]
    needed = [torch.is_grad_enabled() and x.requires_grad for x in inputs]
    return _Fused.apply(kernel, needed, *inputs)[0]  # type: ignore[index]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(kernel: Kernel, needed: Sequence[bool], *inputs: Tensor) -> tuple[Tensor, ...]:
        value, gradients = kernel(needed, *inputs)
        return value, *(gradient for gradient in gradients if gradient is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.kernel, ctx.needed, *tensors = inputs
        _, *gradients = output
        ctx.mark_non_differentiable(*gradients)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *gradients)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: None) -> Gradients:
        if upstream is None:
            return None, None, *(None for _ in ctx.needed)
        saved, n = ctx.saved_tensors, len(ctx.needed)  # read once: checkpoints of activations refuse more
        inputs, gradients = saved[:n], iter(saved[n:])
        if torch.is_grad_enabled():
            with full_precision(upstream):
                gradients = iter([x for x in ctx.kernel(ctx.needed, *inputs)[1] if x is not None])
        return None, None, *(upstream * next(gradients) if needs else None for needs in ctx.needed)
