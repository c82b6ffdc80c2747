"""Activations by name, and checks that they commute with permutations of coordinates."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import check_choice
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
"""Activations in torch.nn that act on each entry alone, need no argument, and draw no random numbers in training."""


def as_activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The module of a name, or what was given.

    Raises:
        OptionError: no activation in :data:`NAMES` has this name, or it is a class.
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
    """The name of an activation in messages."""
    return getattr(activation, "__name__", type(activation).__name__)


def check_elementwise(activation: Callable[[Tensor], Tensor]) -> None:
    """Require an activation that applies one function to each entry of a tensor.

    Raises:
        EquivarianceError: it mixes entries, as a softmax does, or treats them differently in training or once trained.
    """
    if not _always(_is_elementwise, activation):
        raise EquivarianceError(
            f"{activation_name(activation)} must act on every number alone and in the same way, with any parameters, "
            "also in training, but its result depends on other numbers, on chance or on the shape of the data. Use an "
            "activation such as ReLU, LeakyReLU, SiLU or Tanh."
        )


def _is_elementwise(f: Callable[[Tensor], Tensor], like: Tensor) -> bool:
    x = torch.linspace(-3, 3, 24, dtype=like.dtype, device=like.device).view(6, 4)
    try:
        together, alone = f(x.clone()), f(x.reshape(24, 1))
        return together.shape == x.shape and torch.allclose(together, alone.view(6, 4), rtol=1e-4, atol=1e-6)
    except RuntimeError:  # a shape that it does not take
        return False


def commutes(activation: Callable[[Tensor], Tensor], order: Tensor, signs: Tensor) -> bool:
    """Whether always f(signs · x[order]) = signs · f(x)[order], on random x of sizes from 0.01 to 100."""
    values = np.random.default_rng(0).standard_normal((64, len(order))) * np.logspace(-2, 2, 64)[:, None]

    def transform(x: Tensor) -> Tensor:
        return x[:, order.to(x.device)] * signs.to(x)

    def does(f: Callable[[Tensor], Tensor], like: Tensor) -> bool:
        x = torch.tensor(values, dtype=like.dtype, device=like.device)
        left, right = f(transform(x)), f(x.clone())
        return left.shape == right.shape == x.shape and torch.allclose(left, transform(right), rtol=1e-4, atol=1e-6)

    return _always(does, activation)


@torch.no_grad()
def _always(
    passes: Callable[[Callable[[Tensor], Tensor], Tensor], bool], activation: Callable[[Tensor], Tensor]
) -> bool:
    """Whether a condition is true with any parameters, in training and then in evaluation.

    A copy with random changes of its parameters is checked: what is true for it is true for almost all parameters. A
    copy that draws random numbers fails in training, and one with statistics of each coordinate in evaluation.

    Args:
        passes: of a function, and a tensor of the precision and on the device that it takes.
        activation: is not changed, nor is the state of torch's generator.
    """
    like = torch.empty(0, dtype=torch.float64, device="cpu")
    if not isinstance(activation, torch.nn.Module):
        with torch.random.fork_rng([]):
            return passes(activation, like)
    f, rng = deepcopy(activation), np.random.default_rng(0)
    like = next((values for values in (*f.parameters(), *f.buffers()) if values.is_floating_point()), like)
    if like.is_meta:  # values that are not there yet
        return True
    for parameter in f.parameters():
        noise = torch.tensor(0.1 * rng.random(parameter.shape), dtype=parameter.dtype, device=parameter.device)
        parameter += noise * (1 + parameter.abs())
    with torch.random.fork_rng([like.device] if like.is_cuda else []):
        return all(passes(f.train(training), like) for training in (True, False))
