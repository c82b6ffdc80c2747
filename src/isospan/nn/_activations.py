"""Activations by name, and what they are checked for."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from isospan._checks import check_choice

Activation = str | torch.nn.Module | Callable[[Tensor], Tensor]
"""A name in torch.nn, a module, or a function of tensors."""


def as_activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The module of a name, or what was given.

    Raises:
        OptionError: torch.nn has no activation of this name.
    """
    if isinstance(activation, str):
        check_choice(activation, torch.nn.modules.activation.__all__, what="activation")
        return getattr(torch.nn, activation)()
    return activation


def activation_name(activation: Callable[[Tensor], Tensor]) -> str:
    """What to call it in messages."""
    return getattr(activation, "__name__", type(activation).__name__)


@torch.no_grad()
def commutes(activation: Callable[[Tensor], Tensor], order: Tensor, signs: Tensor) -> bool:
    """Whether f(signs · x[order]) = signs · f(x)[order], on random x of sizes from 0.01 to 100."""
    f, parameter = activation, None
    if isinstance(activation, torch.nn.Module):
        f, parameter = deepcopy(activation).eval(), next(activation.parameters(), None)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, len(order), generator=generator) * torch.logspace(-2, 2, 64).unsqueeze(-1)
    x = x.to(parameter) if parameter is not None else x.double()
    signs, order = signs.to(x), order.to(x.device)
    left, right = f(x[:, order] * signs), f(x.clone())
    return left.shape == right.shape == x.shape and torch.allclose(left, right[:, order] * signs, rtol=1e-4, atol=1e-6)
