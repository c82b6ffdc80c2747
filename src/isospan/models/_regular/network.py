"""Chains of maps between copies of the regular representation, with the faster kernel for each width."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan.models._regular.blocks import IsotypicBlocks
from isospan.models._regular.linear import RegularLinear, coefficient_index, element_coordinates
from isospan.nn._base.activations import check_elementwise
from isospan.nn._base.cost import KernelName, Shape, chosen_kernel
from isospan.nn._base.layer import Constants, check_features, ordered
from isospan.representations import Representation


class RegularNetwork(Constants):
    r"""Group convolutions with a pointwise activation between them, and none after the last.

    Between the layers, samples are the last axis and coordinates are sorted by elements of the group. So a layer is one
    product with its dense weight, or contiguous products of isotypic blocks (:class:`IsotypicBlocks`): the one with the
    lower expected time on a CPU. Where the dense weights of all layers are cached, the network multiplies by these.

    Args:
        reps: two or more representations of regular copies: input, hidden layers, output.
        activation: pointwise function, applied between the layers.
        bias: whether the layers have invariant biases.
        kernel: "dense" or "isotypic" for all layers; "auto" chooses for each.

    Raises:
        OptionError: an unknown kernel.
        RepresentationError: a representation does not consist of regular copies.
        EquivarianceError: the activation is not pointwise.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> from isospan.testing import assert_equivariant
        >>> regular = CyclicGroup(4).regular_representation
        >>> network = RegularNetwork([regular, 8 * regular, 2 * regular], torch.relu)
        >>> assert_equivariant(network, regular, 2 * regular)
    """

    order_in: Tensor | None
    order_out: Tensor | None

    def __init__(
        self,
        reps: Sequence[Representation],
        activation: Callable[[Tensor], Tensor],
        *,
        bias: bool = True,
        kernel: KernelName = "auto",
    ) -> None:
        super().__init__()
        check_elementwise(activation)
        self.rep_in, self.rep_out, self.activation = reps[0], reps[-1], activation
        self.layers = torch.nn.ModuleList(RegularLinear(*pair, bias=bias) for pair in pairwise(reps))
        self.register_order("order_in", element_coordinates(self.rep_in).ravel())
        self.register_order("order_out", np.argsort(element_coordinates(self.rep_out), axis=None))
        shapes = [Shape(*pair, in_chain=True) for pair in pairwise(reps)]
        self.is_dense = [chosen_kernel(shape, kernel) == "dense" for shape in shapes]
        for number, layer in enumerate(self._chain):
            if self.is_dense[number]:
                self.register_indices(f"index_{number}", coefficient_index(layer))
        if not all(self.is_dense):
            self.blocks = IsotypicBlocks(self.rep_in.group.regular_representation)

    @property
    def _chain(self) -> list[RegularLinear]:
        return cast("list[RegularLinear]", list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size) of x (..., rep_in.size)."""
        check_features(x, self.rep_in.size)
        if all(self.is_dense) or all(layer.is_frozen for layer in self._chain):
            cached = [layer.cached() for layer in self._chain]
            if None not in cached:
                return self._by_weights(x, cached)
        return self._by_layers(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], self.rep_out.size)

    def steps(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """The layers, with the activation between them."""
        for layer in self._chain[:-1]:
            yield layer
            yield self.activation
        yield self._chain[-1]

    def _by_layers(self, x: Tensor) -> Tensor:
        h = ordered(x.mT, self.order_in, dim=0)
        *first, last = range(len(self._chain))
        for number in first:
            h = self._activated(self._convolved(number, h)).view(self._chain[number].rep_out.size, x.shape[0])
        y = self._convolved(last, h).view(self.rep_out.size, x.shape[0])
        return ordered(y, self.order_out, dim=0).mT

    def _convolved(self, number: int, h: Tensor) -> Tensor:
        """The affine map of a layer of h (|G| m_in, B), elements before copies; (|G|, m_out B) or (|G| m_out, B).

        It is no view: the gradient of a view would be copied where the activation overwrites it.
        """
        layer = self._chain[number]
        coefficients, bias = layer.coefficients, layer.bias_coefficients
        n, m_out, m_in = coefficients.shape
        if not self.is_dense[number]:
            return self.blocks(coefficients, bias, h.view(n, m_in, h.shape[1]))
        index = self.get_buffer(f"index_{number}")
        weight = coefficients.flatten().index_select(0, index.int()).view(n * m_out, n * m_in)
        return weight @ h if bias is None else torch.addmm(bias.repeat(n).unsqueeze(1), weight, h)

    def _by_weights(self, x: Tensor, cached: Sequence[Any]) -> Tensor:
        *first, last = cached
        for map_ in first:
            x = self._activated(linear(x, map_.weight, map_.bias))
        return linear(x, last.weight, last.bias)

    def _activated(self, h: Tensor) -> Tensor:
        """The activation of the result of a layer, which it may overwrite, since nothing else uses it."""
        return torch.relu_(h) if type(self.activation) is torch.nn.ReLU else self.activation(h)
