"""Modules made of layers that can hold their dense weights."""

from typing import Self

from torch import nn

from isospan.nn.freezable import Freezable


class Freezes(nn.Module):
    """Base of modules whose layers can hold their dense weights for inference."""

    def freeze(self) -> Self:
        """Hold the dense weights of all layers, in evaluation mode; training is refused from then on."""
        for layer in self._layers():
            layer.freeze()
        return self.eval()

    def unfreeze(self) -> Self:
        """Compute the weights from the parameters again, and train those that were trained before."""
        for layer in self._layers():
            layer.unfreeze()
        return self

    def _layers(self) -> list[Freezable]:
        return [module for module in self.modules() if isinstance(module, Freezable)]
