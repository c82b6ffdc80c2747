"""What linear and convolutional layers share: coefficients that make a dense weight, which can be held."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from isospan.errors import FrozenError
from isospan.nn.equivariant_maps import EquivariantMaps
from isospan.representations import Representation


class DenseMap(torch.nn.Module):
    """Base of layers whose weight is made of coefficients of equivariant maps, and whose bias is invariant.

    The dense weight is computed at every call, so it can't be stale. :meth:`freeze` holds it for inference; from then
    on the parameters need no gradient, loading a state or moving the module computes it again, and training is refused.

    Args:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.
        taps: number of maps: () for one, (kernel_size,) for a convolution.
        bias: whether there is one, where the output has invariant vectors.

    Attributes:
        coefficients: parameter (*taps, dimension), see :class:`isospan.representations.HomBasis`.
        bias_coefficients: parameter (m,), a number for each trivial irrep in the output; None where there is none.
    """

    coefficients: torch.nn.Parameter
    bias_coefficients: torch.nn.Parameter | None
    frozen_weight: Tensor | None
    frozen_bias: Tensor | None
    _tap_gain: float = 1.0
    """Standard deviation of what one tap contributes: an output is the sum of several."""

    def __init__(self, rep_in: Representation, rep_out: Representation, *, taps: tuple[int, ...], bias: bool) -> None:
        super().__init__()
        self.rep_in, self.rep_out = rep_in, rep_out
        self.maps = EquivariantMaps(rep_in, rep_out)
        self.coefficients = torch.nn.Parameter(torch.empty(*taps, self.maps.dimension))
        invariant = next((c for c in rep_out.isotypic if c.irrep.is_trivial), None)
        biased = bias and invariant is not None
        self._margins = (invariant.slice.start, rep_out.size - invariant.slice.stop) if invariant else (0, 0)
        parameter = torch.nn.Parameter(torch.empty(invariant.size)) if biased and invariant else None
        self.register_parameter("bias_coefficients", parameter)
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

    def reset_parameters(self, *, gain: float = 1.0, generator: torch.Generator | None = None) -> None:
        """Draw coefficients that preserve the variance of white inputs times gain², and set the bias to zero."""
        with torch.no_grad():
            for tap in self.coefficients.view(-1, self.maps.dimension):
                self.maps.basis.init_(tap, gain=gain * self._tap_gain, generator=generator)
            if self.bias_coefficients is not None:
                self.bias_coefficients.zero_()

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
        """The maps of all taps, (*taps, n_out, n_in); convolutions lay them out as torch does."""
        return self.maps(self.coefficients)

    def _spread_bias(self) -> Tensor | None:
        if self.bias_coefficients is None:
            return None
        return self.maps.target.inverse(torch.nn.functional.pad(self.bias_coefficients, self._margins))

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
