"""Equivariant dropout."""

import numpy as np
import torch
from torch import Tensor

from isospan.nn._base.components import copy_index
from isospan.nn._base.layer import Device, Layer, check_features, check_probability, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.representations import Representation


class Dropout(Layer):
    r"""Set parts of the features to zero with probability p in training, and divide the others by 1 - p.

    Where the group permutes the coordinates, the parts are its orbits, and no change of basis is needed. Otherwise they
    are the copies of irreps. Each draw gives an equivariant map. For the trivial group it is torch.nn.Dropout.

    Args:
        rep: representation of the features.
        p: probability that a part is dropped.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        OptionError: p is not a probability.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Example:
        >>> from isospan.groups import SO2
        >>> Dropout(SO2().irrep(1), p=0.5)(torch.ones(6, 2))
        tensor([[0., 0.],
                [0., 0.],
                [2., 2.],
                [0., 0.],
                [0., 0.],
                [0., 0.]])
    """

    part_index: Tensor

    def __init__(
        self, rep: Representation, p: float = 0.5, *, device: Device = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(rep)
        self.change: ChangeOfBasis | None = None if rep.is_permutation else ChangeOfBasis(rep)
        self.p: float = check_probability(p)
        index = copy_index(rep) if self.change else _orbit_index(rep)
        self._parts = int(index.max()) + 1
        self.register_constant("part_index", index)
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with parts dropped, or x itself in evaluation."""
        check_features(x, self.rep_in.size)
        if not self.training or not self.p:
            return x
        kept = torch.nn.functional.dropout(x.new_ones((*x.shape[:-1], self._parts)), self.p)
        factors = kept.index_select(-1, self.part_index)
        return x * factors if self.change is None else self.change.inverse(self.change(x) * factors)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


def _orbit_index(rep: Representation) -> np.ndarray:
    """The index of the orbit that each coordinate of a permutation representation belongs to, (D,)."""
    index, start = np.empty(rep.size, dtype=np.int64), 0
    for block in rep.blocks:
        index[block.indices] = start + np.arange(block.multiplicity)[:, None]
        start += block.multiplicity
    return index
