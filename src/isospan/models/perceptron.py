"""Chains of linear layers and activations."""

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.functional import linear

from isospan.models.network import steps
from isospan.models.plain import plain_network
from isospan.nn._inputs import check_features
from isospan.nn.freezable import Freezable
from isospan.nn.freezes import Freezes
from isospan.representations import Representation, check_representation


class Perceptron(Freezes):
    """Base of networks that are chains of linear layers and activations of one signal."""

    rep_in: Representation
    network: nn.Sequential

    def __init__(self, rep_in: Representation) -> None:
        super().__init__()
        check_representation(rep_in)
        self.rep_in, self._size = rep_in, rep_in.size
        self._frozen_steps: list[Callable[[Tensor], Tensor]] = []

    def freeze(self) -> Self:
        """Hold the dense weights of all layers, and go from one to the next with no more than activations between."""
        # what the first layer gives is no one else's, so activations may overwrite it
        self._frozen_steps = [nn.ReLU(inplace=True) if type(step) is nn.ReLU else step for step in steps(self.network)]
        return super().freeze()

    def unfreeze(self) -> Self:
        """Compute the weights from the parameters again, and train those that were trained before."""
        self._frozen_steps = []
        return super().unfreeze()

    def forward(self, x: Tensor) -> Tensor:
        """Return y of x (..., rep_in.size)."""
        held: list[Any] = self._frozen_steps
        if not held or not held[0].is_frozen:  # a module around this one may have unfrozen its layers
            return self.network(x)
        check_features(x, self._size)
        for step in held:
            x = linear(x, *step.dense()) if isinstance(step, Freezable) else step(x)
        return x

    def export(self) -> nn.Sequential:
        """Return a torch.nn.Sequential of the same function that shares nothing with this network.

        Raises:
            OptionError: torch has no module for a part of it, as for :class:`isospan.nn.IrrepInvariants`.
        """
        return plain_network(steps(self.network)).train(self.training)
