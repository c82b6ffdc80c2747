"""Chains of maps between copies of the regular representation, computed the way that is faster for their widths."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan.nn._activations import check_elementwise
from isospan.nn._constants import Constants
from isospan.nn._inputs import check_features
from isospan.nn.isotypic_blocks import IsotypicBlocks
from isospan.nn.regular_linear import RegularLinear, element_places
from isospan.representations import Representation

WIDE = 320
"""Width of a layer, in and out, from which products of isotypic blocks take less time than dense ones on a CPU."""


class RegularNetwork(Constants):
    r"""Group convolutions with an activation of every number between them, and none after the last.

    Where a layer maps at least ``WIDE`` numbers to as many, the chain is computed in isotypic blocks, with samples as
    the last axis from the first layer to the last, so that every block is contiguous in memory. Narrower networks
    multiply dense weights.

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
    places_back: Tensor

    def __init__(
        self, reps: Sequence[Representation], activation: Callable[[Tensor], Tensor], *, bias: bool = True
    ) -> None:
        super().__init__()
        check_elementwise(activation)
        self.rep_in, self.rep_out, self.activation = reps[0], reps[-1], activation
        self.is_wide = any(min(a.size, b.size) >= WIDE for a, b in pairwise(reps))
        self.layers = torch.nn.ModuleList(
            RegularLinear(*pair, bias=bias, hold_places=not self.is_wide) for pair in pairwise(reps)
        )
        if self.is_wide:
            first, last = element_places(reps[0]), element_places(reps[-1])
            self.register_constant("places", first.ravel())
            self.register_constant("places_back", np.argsort(last.ravel()))
            self.blocks = IsotypicBlocks(self.rep_in.group)

    @property
    def _chain(self) -> list[RegularLinear]:
        return cast(list[RegularLinear], list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size) of x (..., rep_in.size)."""
        check_features(x, self.rep_in.size)
        if not self.is_wide or self._chain[0].is_frozen:
            return self._dense(x)
        return self._by_blocks(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], self.rep_out.size)

    def steps(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """The layers, with the activation between them."""
        for layer in self._chain[:-1]:
            yield layer
            yield self.activation
        yield self._chain[-1]

    def _by_blocks(self, x: Tensor) -> Tensor:
        *first, last = self._chain
        h = x.mT.index_select(0, self.places).view(
            len(last.coefficients), self._chain[0].coefficients.shape[2], x.shape[0]
        )
        for layer in first:
            h = self.activation(self._convolved(layer, h))
        return self._convolved(last, h).flatten(0, 1).index_select(0, self.places_back).mT

    def _convolved(self, layer: RegularLinear, h: Tensor) -> Tensor:
        """The layer's affine map of h (|G|, m_in, B)."""
        y = self.blocks(layer.coefficients, h)
        return y if layer.bias_coefficients is None else y + layer.bias_coefficients.to(y.dtype).unsqueeze(1)

    def _dense(self, x: Tensor) -> Tensor:
        *first, last = self._chain
        for layer in first:
            x = self.activation(linear(x, *layer.dense()))
        return linear(x, *last.dense())
