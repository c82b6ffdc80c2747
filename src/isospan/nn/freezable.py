"""Layers that make a dense weight of their parameters, which can be held for inference."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from isospan.errors import FrozenError
from isospan.representations import Representation


class Freezable(torch.nn.Module):
    """Base of layers that compute a dense weight and bias of their parameters.

    The dense weight is computed at every call, so it can't be stale. :meth:`freeze` holds it for inference; from then
    on the parameters need no gradient, loading a state or moving the module computes it again, and training is refused.
    A layer says in ``_synthesized`` and ``_spread_bias`` how it makes both.

    Args:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.
    """

    frozen_weight: Tensor | None
    frozen_bias: Tensor | None

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__()
        self.rep_in, self.rep_out = rep_in, rep_out
        self.register_buffer("frozen_weight", None, persistent=False)
        self.register_buffer("frozen_bias", None, persistent=False)
        self._trained: list[str] = []

    @property
    def weight(self) -> Tensor:
        """The dense weight, laid out as torch's: the frozen one, or made of the coefficients with their gradient."""
        return self._synthesized() if self.frozen_weight is None else self.frozen_weight

    @property
    def bias(self) -> Tensor | None:
        """The dense bias (rep_out.size,), which is invariant; None where there is none."""
        return self._spread_bias() if self.frozen_weight is None else self.frozen_bias

    @property
    def is_frozen(self) -> bool:
        """Whether the dense weight is held."""
        return self.frozen_weight is not None

    def freeze(self) -> Self:
        """Hold the dense weight for inference, switch to evaluation and take the parameters out of training."""
        self.eval()
        self._trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        for parameter in self.parameters():
            parameter.requires_grad_(False).grad = None
        self._hold()
        return self

    def unfreeze(self) -> Self:
        """Make the dense weight of the parameters again at every call, and train those that were trained before."""
        self.frozen_weight = self.frozen_bias = None
        for name in self._trained:
            self.get_parameter(name).requires_grad_(True)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation.

        Raises:
            FrozenError: training of a frozen layer.
        """
        if mode and self.is_frozen:
            raise FrozenError(
                f"A layer that trains must make its weight of its parameters, but this {type(self).__name__} holds a "
                "frozen one. Call unfreeze() first."
            )
        return super().train(mode)

    def _synthesized(self) -> Tensor:
        raise NotImplementedError

    def _spread_bias(self) -> Tensor | None:
        raise NotImplementedError

    @torch.no_grad()
    def _hold(self) -> None:
        bias = self._spread_bias()
        self.frozen_weight, self.frozen_bias = self._synthesized().contiguous(), bias

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if self.is_frozen:
            self._hold()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.is_frozen:
            self._hold()

    def _copy_into(self, module: Any) -> Any:
        """Write the dense weight and bias into a torch module, and its mode of training."""
        with torch.no_grad():
            module.weight.copy_(self.weight)
            if module.bias is not None:
                module.bias.copy_(self.bias)
        return module.train(self.training)
