"""Plain networks of the same function as equivariant ones."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from isospan.errors import OptionError
from isospan.nn._plain_linear import plain_linear
from isospan.nn.freezable import Freezable


@torch.no_grad()
def plain_network(steps: Iterable[object]) -> nn.Sequential:
    """A torch.nn.Sequential of torch's modules that shares nothing with the layers and activations that it is made of.

    Raises:
        OptionError: torch has no module for a step.
    """
    parts: list[nn.Module] = []
    for step in steps:
        if isinstance(step, Freezable):
            parts.append(plain_linear(*step.dense()))
        elif isinstance(step, nn.Module) and type(step).__module__.startswith("torch.nn."):
            parts.append(copy.deepcopy(step))
        else:
            raise OptionError(
                f"torch has no module for {type(step).__name__}, so a network with it has no plain counterpart. Use "
                "torch.export.export(model.freeze(), ...), or hidden layers of regular representations."
            )
    return nn.Sequential(*parts)
