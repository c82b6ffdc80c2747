"""The task of a network: what it is given of a batch, and what its output is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from isospan.experiment.samples._samples import Samples, fields_of


@dataclass(frozen=True)
class Task:
    """A map that a network learns from samples. The loss is the unexplained variance of the target.

    Attributes:
        input: the input of the network, of samples in memory.
        target: the target of its output (B, C, ...), of the same samples.

    Example:
        >>> import torch
        >>> RECONSTRUCTION.target(Samples(torch.ones(2, 1, 4, 4))).shape
        torch.Size([2, 1, 4, 4])
    """

    input: Callable[[Samples], Tensor]
    target: Callable[[Samples], Tensor]


RECONSTRUCTION = Task(input=fields_of, target=fields_of)
"""The task of an autoencoder: its input is its target."""
