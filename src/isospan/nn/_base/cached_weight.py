"""Layers that make a dense weight of their parameters, and the modules made of such layers."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from isospan.errors import FrozenError
from isospan.nn._base.constants import Constants
from isospan.representations import Representation


class Freezable(Constants):
    """Base of layers that compute a dense weight and bias of their parameters.

    The dense weight is computed at every call, so it can't be stale. :meth:`freeze` holds it for inference; from then
    on the parameters need no gradient and training is refused. Loading a state, moving the module, or changing the
    parameters in place (but behind autograd, through ``.data``, or in compiled code) computes it again. While others
    stand in their place, as in ``torch.func.functional_call``, it is made of these at every call.

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
        self._made_of: list[Tensor] = []
        self._held: list[tuple[int, int]] = []

    def dense(self) -> tuple[Tensor, Tensor | None]:
        """The dense weight and bias: the frozen ones, or made of the coefficients with their gradient."""
        if not self._holds():
            return self._synthesized(), self._spread_bias()
        held: dict[str, Any] = self._buffers  # as attributes they are found last
        return held["frozen_weight"], held["frozen_bias"]

    @property
    def weight(self) -> Tensor:
        """The dense weight, laid out as torch's: the frozen one, or made of the coefficients with their gradient.

        Writing to it changes nothing: write to the parameters that it is made of.
        """
        held = self.frozen_weight if self._holds() else None
        return self._synthesized() if held is None else held

    @property
    def bias(self) -> Tensor | None:
        """The dense bias (rep_out.size,), which is invariant; None where there is none."""
        return self.frozen_bias if self._holds() else self._spread_bias()

    @property
    def is_frozen(self) -> bool:
        """Whether the dense weight is held."""
        return self._buffers["frozen_weight"] is not None

    def freeze(self) -> Self:
        """Hold the dense weight for inference, switch to evaluation and take the parameters out of training."""
        self.eval()
        if not self.is_frozen:
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

    def _hold(self) -> None:
        with torch.inference_mode(False), torch.no_grad():
            bias = self._spread_bias()
            self.frozen_weight = self._synthesized().clone()  # as laid out
            self.frozen_bias = None if bias is None else bias.detach()  # it may be a parameter
        self._made_of, self._held = self._own(), self._versions()

    def _holds(self) -> bool:
        """Whether the weight is held that the parameters make; it is held anew where they have changed in place."""
        if not self.is_frozen:
            return False
        if torch.compiler.is_compiling() or self._held == self._versions():
            return True
        if list(map(id, self._own())) != list(map(id, self._made_of)):
            return False
        self._hold()
        return True

    def _own(self) -> list[Tensor]:
        """The parameters; walking all modules for them would take ten times longer."""
        return [p for p in self._parameters.values() if p is not None]

    def _versions(self) -> list[tuple[int, int]]:
        """Which tensors the parameters are, and how often autograd saw them change."""
        own = self._own()
        try:
            return [(id(p), p._version) for p in own]
        except RuntimeError:  # tensors made for inference have no version
            return [(id(p), 0 if p.is_inference() else p._version) for p in own]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if self.is_frozen:
            self._hold()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.is_frozen:
            self._hold()

    def _filled(self, plain: Any) -> Any:
        """A torch module that was made without memory, with the dense weight and bias, in the same mode."""
        weight, bias = self.dense()
        plain.to_empty(device=weight.device)
        with torch.no_grad():
            plain.weight.copy_(weight)
            if bias is not None:
                plain.bias.copy_(bias)
        return plain.train(self.training)


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


@torch.no_grad()
def plain_linear(weight: Tensor, bias: Tensor | None) -> torch.nn.Linear:
    """A torch.nn.Linear with copies of a weight (n_out, n_in) and a bias (n_out,).

    Example:
        >>> plain_linear(torch.tensor([[1.0, 2.0]]), None)(torch.ones(2))
        tensor([3.], grad_fn=...)
    """
    plain = torch.nn.Linear(*weight.shape[::-1], bias=bias is not None, device="meta", dtype=weight.dtype)
    plain.to_empty(device=weight.device)
    plain.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return plain
