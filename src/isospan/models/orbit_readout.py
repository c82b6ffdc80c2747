"""Linear maps of means over a group."""

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import linear

from isospan.nn.freezable import Freezable
from isospan.nn.regular_linear import element_places
from isospan.representations import Representation


class OrbitReadout(Freezable):
    """A linear map of the means over the group's elements, one of every copy of the regular representation.

    Args:
        rep: copies of the regular representation.
        out_dim: entries of the output.
        bias: add one to it.
    """

    copies: Tensor

    def __init__(self, rep: Representation, out_dim: int, *, bias: bool) -> None:
        super().__init__(rep, out_dim * rep.group.trivial_representation)
        places = element_places(rep)
        of_means = nn.Linear(places.shape[1], out_dim, bias=bias)
        self.coefficients, self.bias_coefficients = of_means.weight, of_means.bias
        self.register_constant("copies", (places.argsort(axis=None) % places.shape[1]).astype(np.int32))
        self._order = len(places)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., out_dim)."""
        return linear(x, *self.dense())

    def _synthesized(self) -> Tensor:
        return (self.coefficients / self._order).index_select(1, self.copies)

    def _spread_bias(self) -> Tensor | None:
        return self.bias_coefficients
