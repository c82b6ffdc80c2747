"""Activations by name, and what they are checked for."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from isospan._checks import check_choice
from isospan.errors import EquivarianceError, OptionError

Activation = str | torch.nn.Module | Callable[[Tensor], Tensor]
"""A name in torch.nn, a module, or a function of tensors."""

NAMES = (
    "CELU",
    "ELU",
    "GELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "Sigmoid",
    "SiLU",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
)
"""Activations of single numbers in torch.nn that need no argument."""


def as_activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The module of a name, or what was given.

    Raises:
        OptionError: torch.nn has no activation of single numbers of this name, or it needs arguments; or it is a class.
    """
    if isinstance(activation, str):
        check_choice(activation, NAMES, what="activation")
        return getattr(torch.nn, activation)()
    if isinstance(activation, type) or not callable(activation):
        raise OptionError(
            "An activation is a name, as 'ReLU', a module, as torch.nn.ReLU(), or a function of tensors, got "
            f"{activation!r}. Pass one of these."
        )
    return activation


def activation_name(activation: Callable[[Tensor], Tensor]) -> str:
    """What to call it in messages."""
    return getattr(activation, "__name__", type(activation).__name__)


def _apart(activation: Callable[[Tensor], Tensor]) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The activation in evaluation, apart from the one in use, and a tensor of the precision and device it takes."""
    like = torch.empty(0, dtype=torch.float64, device="cpu")
    if not isinstance(activation, torch.nn.Module):
        return activation, like
    return deepcopy(activation).eval(), next(activation.parameters(), like)


def check_elementwise(activation: Callable[[Tensor], Tensor]) -> None:
    """Require an activation of every number alone, which does the same in every layout of the data.

    Raises:
        EquivarianceError: it mixes numbers, as a softmax does.
    """
    f, like = _apart(activation)
    if like.is_meta:  # values that are not there yet
        return
    x = torch.linspace(-3, 3, 24, dtype=like.dtype, device=like.device).view(6, 4)
    try:
        with torch.no_grad():
            together, alone = f(x.clone()), f(x.reshape(24, 1))
        same = together.shape == x.shape and torch.allclose(together, alone.view(6, 4), rtol=1e-4, atol=1e-6)
    except RuntimeError:  # a shape that it does not take
        same = False
    if not same:
        raise EquivarianceError(
            f"{activation_name(activation)} must act on every number alone, but what it does depends on the others or "
            "on the shape of the data. Use an activation such as ReLU, SiLU or Tanh."
        )


@torch.no_grad()
def commutes(activation: Callable[[Tensor], Tensor], order: Tensor, signs: Tensor) -> bool:
    """Whether f(signs · x[order]) = signs · f(x)[order], on random x of sizes from 0.01 to 100."""
    f, like = _apart(activation)
    if like.is_meta:  # values that are not there yet
        return True
    rng = np.random.default_rng(0)
    values = rng.standard_normal((64, len(order))) * np.logspace(-2, 2, 64)[:, None]
    x = torch.tensor(values, dtype=like.dtype, device=like.device)
    signs, order = signs.to(x), order.to(x.device)
    left, right = f(x[:, order] * signs), f(x.clone())
    return left.shape == right.shape == x.shape and torch.allclose(left, right[:, order] * signs, rtol=1e-4, atol=1e-6)
