"""Equivariant dropout."""

import torch
from torch import Tensor

from isospan.nn._constants import Constants
from isospan.nn._copies import copy_numbers
from isospan.nn._inputs import check_probability
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import Representation


class Dropout(Constants):
    r"""Whole copies of irreps are zeroed with probability p while training, the others divided by 1 - p.

    For any draw it is an equivariant map; for the trivial group it is torch.nn.Dropout.

    Args:
        rep: how the group acts.
        p: probability that a copy is dropped.

    Attributes:
        rep_in, rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        OptionError: p is not a probability.
        ShapeError, DtypeError: what the message says.

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

    copy_numbers: Tensor

    def __init__(self, rep: Representation, p: float = 0.5) -> None:
        super().__init__()
        self.change = ChangeOfBasis(rep)
        self.rep_in = self.rep_out = rep
        self.p = check_probability(p)
        self._count = len(rep.irreps)
        self.register_constant("copy_numbers", copy_numbers(rep))

    def forward(self, x: Tensor) -> Tensor:
        """Return x with copies dropped, or x itself in evaluation."""
        if not self.training or not self.p:
            return x
        z = self.change(x)
        kept = torch.nn.functional.dropout(z.new_ones((*z.shape[:-1], self._count)), self.p)
        return self.change.inverse(z * kept.index_select(-1, self.copy_numbers))

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
