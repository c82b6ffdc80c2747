"""Chains of maps between copies of the regular representation, computed the way that is faster for their widths."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan.models._regular.blocks import IsotypicBlocks
from isospan.models._regular.linear import RegularLinear, element_places, places_of, quotients
from isospan.nn._base.activations import check_elementwise
from isospan.nn._base.constants import Constants
from isospan.nn._base.inputs import check_features
from isospan.nn._base.linear_function import reordered
from isospan.representations import Representation

WIDE = 320
"""Width of a layer, in and out, from which products of isotypic blocks take less time than dense ones on a CPU."""

MOVES = 32
"""Multiplications in the time in which a number is read and written, as often as a change of basis does, on a CPU."""


class RegularNetwork(Constants):
    r"""Group convolutions with an activation of every number between them, and none after the last.

    Where a layer maps at least ``WIDE`` numbers to as many, the chain is computed in isotypic blocks, with samples as
    the last axis from the first layer to the last, so that every block is contiguous in memory; layers of so few
    copies that the changes of basis alone would take as long multiply dense weights there. Narrower networks do so
    throughout, with weights that one gather makes of all coefficients.

    Args:
        reps: two or more representations of regular copies: input, hidden layers, output.
        activation: function of single numbers, applied between the layers.
        bias: whether the layers have invariant biases.

    Raises:
        RepresentationError: a representation is not made of regular copies.
        EquivarianceError: the activation mixes numbers.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> from isospan.testing import assert_equivariant
        >>> regular = CyclicGroup(4).regular_representation
        >>> network = RegularNetwork([regular, 8 * regular, 2 * regular], torch.relu)
        >>> assert_equivariant(network, regular, 2 * regular)
    """

    places: Tensor
    places_in: Tensor | None
    places_in_back: Tensor | None
    places_out: Tensor | None
    places_out_back: Tensor | None

    def __init__(
        self, reps: Sequence[Representation], activation: Callable[[Tensor], Tensor], *, bias: bool = True
    ) -> None:
        super().__init__()
        check_elementwise(activation)
        self.rep_in, self.rep_out, self.activation = reps[0], reps[-1], activation
        self.is_wide = any(min(a.size, b.size) >= WIDE for a, b in pairwise(reps))
        self.layers = torch.nn.ModuleList(RegularLinear(*pair, bias=bias) for pair in pairwise(reps))
        if not self.is_wide:
            self._sizes, places = _entries(self._chain)
            self.register_indices("places", places)
            return
        for name, rep in (("in", self.rep_in), ("out", self.rep_out)):
            places = element_places(rep).ravel()
            self.register_order(f"places_{name}", places)
            self.register_order(f"places_{name}_back", np.argsort(places))
        self._are_dense = [_is_dense(layer) for layer in self._chain]
        for number, layer in enumerate(self._chain):
            if self._are_dense[number]:
                self.register_constant(f"weight_{number}", _places_by_element(layer))
        if not all(self._are_dense):
            self.blocks = IsotypicBlocks.shared(self.rep_in.group.regular_representation)

    @property
    def _chain(self) -> list[RegularLinear]:
        return cast("list[RegularLinear]", list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size) of x (..., rep_in.size)."""
        check_features(x, self.rep_in.size)
        if all(layer.is_frozen for layer in self._chain):
            return self._dense(x, [layer.dense() for layer in self._chain])
        if not self.is_wide:
            return self._dense(x, self._gathered())
        return self._by_blocks(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], self.rep_out.size)

    def steps(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """The layers, with the activation between them."""
        for layer in self._chain[:-1]:
            yield layer
            yield self.activation
        yield self._chain[-1]

    def _by_blocks(self, x: Tensor) -> Tensor:
        h = reordered(x.mT, self.places_in, self.places_in_back)
        *first, last = range(len(self._chain))
        for number in first:
            h = self._activated(self._convolved(number, h)).view(self._chain[number].rep_out.size, x.shape[0])
        y = self._convolved(last, h).view(self.rep_out.size, x.shape[0])
        return reordered(y, self.places_out_back, self.places_out).mT

    def _convolved(self, number: int, h: Tensor) -> Tensor:
        """The affine map of a layer of h (|G| m_in, B), elements before copies; (|G|, m_out B) or (|G| m_out, B).

        It is a result and not a view, whose gradient would be copied where it is overwritten.
        """
        layer = self._chain[number]
        coefficients, bias = layer.coefficients, layer.bias_coefficients
        n, m_out, m_in = coefficients.shape
        if not self._are_dense[number]:
            return self.blocks(coefficients, bias, h.view(n, m_in, h.shape[1]))
        places = self.get_buffer(f"weight_{number}")
        weight = coefficients.flatten().index_select(0, places).view(n * m_out, n * m_in)
        return weight @ h if bias is None else torch.addmm(bias.repeat(n).unsqueeze(1), weight, h)

    def _gathered(self) -> list[tuple[Tensor, Tensor | None]]:
        """The dense weight and bias of every layer, by one gather for all, which costs less than one for each."""
        parameters = [
            p.flatten() for layer in self._chain for p in (layer.coefficients, layer.bias_coefficients) if p is not None
        ]
        entries = iter(torch.cat(parameters).index_select(0, self.places.int()).split(self._sizes))
        return [
            (next(entries).view(layer.rep_out.size, -1), None if layer.bias_coefficients is None else next(entries))
            for layer in self._chain
        ]

    def _dense(self, x: Tensor, maps: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        *first, last = maps
        for weight, bias in first:
            x = self._activated(linear(x, weight, bias))
        return linear(x, *last)

    def _activated(self, h: Tensor) -> Tensor:
        """The activation of what a layer gives, which is no one else's, so that it may be overwritten."""
        return torch.relu_(h) if type(self.activation) is torch.nn.ReLU else self.activation(h)


def _entries(layers: Sequence[RegularLinear]) -> tuple[list[int], np.ndarray]:
    """How many entries the dense weight and bias of each layer have, and which of all parameters stands at each."""
    found, start = [], 0
    for layer in layers:
        parameters = layer.coefficients, layer.bias_coefficients
        for parameter, places in zip(parameters, places_of(layer.rep_in, layer.rep_out), strict=True):
            if parameter is not None:
                found.append(places + start)
                start += parameter.numel()
    return [len(places) for places in found], np.concatenate(found)


def _is_dense(layer: RegularLinear) -> bool:
    """Whether the dense product takes no longer than the changes of basis, there and back, alone."""
    n, m_out, m_in = layer.coefficients.shape
    return n * m_out * m_in <= (n + MOVES) * (m_out + m_in)


def _places_by_element(layer: RegularLinear) -> np.ndarray:
    """Number of the coefficient at every entry of the dense weight, flat, of coordinates by element, then copy."""
    coefficients = np.arange(layer.coefficients.numel(), dtype=np.int32).reshape(layer.coefficients.shape)
    return coefficients[quotients(layer.rep_in.group)].transpose(0, 2, 1, 3).ravel()
