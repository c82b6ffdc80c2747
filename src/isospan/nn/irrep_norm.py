"""Norms of the copies of the irreps."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._copies import copies_of, each_irrep, norms
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import Representation


class IrrepNorm(torch.nn.Module):
    r"""The norm of every copy of every irrep, :math:`\|Q_i^\top x\|`: invariants of the group.

    Gradients at a copy that is zero are zero. Norms lose signs and the angles between copies, which
    :class:`IrrepInvariants` keeps.

    Args:
        rep: how the group acts on x.

    Attributes:
        rep_in: the same.
        rep_out: as many trivial irreps as there are copies.

    Shapes:
        x (..., rep.size) to norms (..., number of copies), in the order of ``rep.irreps``.

    Raises:
        ShapeError, DtypeError: what the message says.

    Example:
        >>> from isospan.groups import SO2
        >>> IrrepNorm(SO2().irrep(1) + SO2().irrep(0))(torch.tensor([3.0, 4.0, -2.0]))
        tensor([2., 5.])
    """

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.change = ChangeOfBasis.shared(rep)
        self.rep_in, self.rep_out = rep, len(rep.irreps) * rep.group.trivial_representation
        self._copies = copies_of(rep)

    def forward(self, x: Tensor) -> Tensor:
        """Return the norms (..., number of copies)."""
        z = self.change(x)
        with full_precision(z):
            return torch.cat([norms(part) for part in each_irrep(z, self._copies)], dim=-1)
