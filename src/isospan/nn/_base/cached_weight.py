"""Cached weights: layers that expand a dense weight from their parameters, and modules of such layers."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from isospan.errors import FrozenError
from isospan.nn._base.layer import Layer
from isospan.representations import Representation


class Cached(NamedTuple):
    """A dense weight and bias, and the parameters that they were expanded from, with addresses and versions."""

    weight: Tensor
    bias: Tensor | None
    made_of: list[Tensor]
    versions: list[tuple[int, int]]


class Freezable(Layer):
    """Base of layers that expand a dense weight and bias from their parameters.

    In evaluation mode, the dense weight is cached where no gradient of the parameters is needed. It is expanded again
    after ``eval()``, and when a parameter is another tensor, has another address or another version. :meth:`freeze`
    switches to evaluation mode and takes the parameters out of training, so that the weight is always cached. A frozen
    layer refuses to train.

    In-place changes of ``.data`` have no version: write under ``torch.no_grad()``, or call ``eval()`` afterwards. A
    subclass implements ``_synthesized`` and ``_spread_bias``, which expand the weight and the bias.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.
    """

    coefficients: Tensor
    bias_coefficients: Tensor | None
    is_frozen: bool = False

    def __init__(self, rep_in: Representation, rep_out: Representation) -> None:
        super().__init__(rep_in, rep_out)
        self._trained: list[str] = []
        self._cached: Cached | None = None

    def dense(self) -> tuple[Tensor, Tensor | None]:
        """The dense weight and bias: the cached ones, or expanded from the parameters with their gradient."""
        cached = self.cached()
        return (self._synthesized(), self._spread_bias()) if cached is None else (cached.weight, cached.bias)

    @property
    def weight(self) -> Tensor:
        """The dense weight, laid out as torch's: the cached one, or expanded from the coefficients with their gradient.

        Writing to it changes nothing. Write to the parameters instead.
        """
        cached = self.cached()
        return self._synthesized() if cached is None else cached.weight

    @property
    def bias(self) -> Tensor | None:
        """The dense bias (rep_out.size,), which is invariant; None where there is none."""
        cached = self.cached()
        return self._spread_bias() if cached is None else cached.bias

    def freeze(self) -> Self:
        """Cache the dense weight for inference, switch to evaluation and take the parameters out of training."""
        self.eval()
        if not self.is_frozen:
            self._trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        for parameter in self.parameters():
            parameter.requires_grad_(False).grad = None
        self.is_frozen = True
        self._refresh()
        return self

    def unfreeze(self) -> Self:
        """Train again the parameters that were trained before."""
        self.is_frozen = False
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
                f"A layer in training must expand its weight from its parameters, but this {type(self).__name__} is "
                "frozen. Call unfreeze() first."
            )
        super().train(mode)
        self._changed()
        return self

    def export(self) -> Any:
        """Return torch's layer of the same map, which shares nothing with this one."""
        return plain_linear(*self.dense()).train(self.training)

    def extra_repr(self) -> str:
        """The representations, and whether there is a bias."""
        return f"{self.rep_in.name} -> {self.rep_out.name}, bias={self.bias_coefficients is not None}"

    def _synthesized(self) -> Tensor:
        raise NotImplementedError

    def _spread_bias(self) -> Tensor | None:
        raise NotImplementedError

    def _made_of(self) -> list[Tensor]:
        """The parameters, or the tensors that replace them in ``torch.func.functional_call`` and parametrizations."""
        return [p for p in (self.coefficients, self.bias_coefficients) if p is not None]

    def cached(self) -> Cached | None:
        """The cached weight and bias of the current parameters; None where they are not cached."""
        if torch.compiler.is_compiling():
            return self._cached if self.is_frozen else None
        if self.training:
            return None
        made_of, cached = self._made_of(), self._cached
        if torch.is_grad_enabled() and any(p.requires_grad for p in made_of):
            self._cached = None  # a step may follow, and those of fused optimizers count no version
            return None
        if not all(isinstance(p, nn.Parameter) and not p.is_inference() for p in made_of):
            return None  # others may not last, and tensors of inference have no version
        if cached is None or cached.versions != _versions(made_of):
            return self._refresh()
        return cached if all(map(operator.is_, cached.made_of, made_of)) else self._refresh()

    def _refresh(self) -> Cached:
        with torch.inference_mode(False), torch.no_grad():
            bias, made_of = self._spread_bias(), self._made_of()
            bias = None if bias is None else bias.detach()  # it may be a parameter
            self._cached = Cached(self._synthesized().clone(), bias, made_of, _versions(made_of))
        return self._cached

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._changed()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._changed()

    def _changed(self) -> None:
        """Drop the cached weight; a frozen layer expands it again, since compiled code checks no parameters."""
        self._cached = self._refresh() if self.is_frozen else None

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_cached": None}


def _versions(tensors: list[Tensor]) -> list[tuple[int, int]]:
    """Address and version of tensors; autograd counts a version for every in-place change."""
    return [(tensor.data_ptr(), tensor._version) for tensor in tensors]


class Freezes(nn.Module):
    """Base of modules whose layers have cached weights."""

    def freeze(self) -> Self:
        """Cache the dense weights of all layers and switch to evaluation mode. Frozen layers refuse to train."""
        self.eval()
        for layer in self._layers():
            layer.freeze()
        return self

    def unfreeze(self) -> Self:
        """Train again the parameters of all layers that were trained before."""
        for layer in self._layers():
            layer.unfreeze()
        return self

    def _layers(self) -> list[Freezable]:
        return [module for module in self.modules() if isinstance(module, Freezable)]


def plain_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A torch.nn.Linear with copies of a weight (n_out, n_in) and a bias (n_out,).

    Example:
        >>> plain_linear(torch.tensor([[1.0, 2.0]]), None)(torch.ones(2))
        tensor([3.], grad_fn=...)
    """
    plain = nn.Linear(*weight.shape[::-1], bias=bias is not None, device="meta", dtype=weight.dtype)
    return filled(plain, weight, bias)


def filled(plain: nn.Module, weight: Tensor, bias: Tensor | None) -> Any:
    """A module of torch's from the device "meta", filled with copies of a weight and a bias."""
    plain.to_empty(device=weight.device)
    plain.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return plain
