"""Losses whose gradient is computed by a formula in the forward pass, together with the value."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from isospan._core.autocast import full_precision

Gradients = tuple[Tensor | None, ...]
Kernel = Callable[..., tuple[Tensor, Gradients]]


def with_precomputed_gradient(kernel: Kernel, *inputs: Tensor, traceable: bool = False) -> Tensor:
    """Return the value of a function that also computes its own gradients, differentiable in its inputs.

    The call is ``kernel(needed, *inputs)``. ``needed`` has a flag for each input: whether its gradient is needed. The
    result is the value and a tuple of gradients, None where not needed. Autograd records no graph of the kernel, so
    its intermediate results are freed when it returns. The inputs and the gradients are kept until the backward pass.

    For second derivatives (``create_graph=True``, ``torch.func``) the backward pass calls the kernel again, with a
    graph. The gradients must therefore be differentiable expressions of the inputs. Derivatives of every order are
    then correct.

    ``torch.compile`` treats the gradients as constants, so derivatives of a compiled ``torch.func.grad`` would be zero.
    With ``traceable=True`` it traces the value instead, and differentiates that.

    Example:
        >>> import torch
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> cube = with_precomputed_gradient(lambda needed, x: (x.pow(3).sum(), (3 * x.square(),)), x)
        >>> (first,) = torch.autograd.grad(cube, x, create_graph=True)
        >>> first, torch.autograd.grad(first, x)
        (tensor([27.], grad_fn=<MulBackward0>), (tensor([18.]),))
    """
    if traceable and torch.compiler.is_compiling():
        return kernel([False] * len(inputs), *inputs)[0]
    needed = [torch.is_grad_enabled() and x.requires_grad for x in inputs]
    return _PrecomputedGradient.apply(kernel, needed, *inputs)[0]  # type: ignore[index]


class _PrecomputedGradient(torch.autograd.Function):
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
        saved, n = ctx.saved_tensors, len(ctx.needed)  # read once: activation checkpointing allows no second read
        inputs, gradients = saved[:n], iter(saved[n:])
        if torch.is_grad_enabled():
            with full_precision(upstream):
                gradients = iter([x for x in ctx.kernel(ctx.needed, *inputs)[1] if x is not None])
        return None, None, *(upstream * next(gradients) if needs else None for needs in ctx.needed)
