"""What normalisations share: statistics and scales in the spectral basis, where the group leaves them alone."""

import torch
from torch import Tensor

from isospan.nn._constants import Constants
from isospan.nn._copies import copies_of, copy_numbers, trivial_copies
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import Representation


class Normalization(Constants):
    """Base of normalisations: a scale for every copy of an irrep, and a shift of the invariant features.

    Args:
        rep: how the group acts.
        scaled: whether there is a parameter ``weight`` (copies,), one at first.
        shifted: whether there is a parameter ``bias`` (m,) of the m trivial copies, zero at first.
    """

    weight: torch.nn.Parameter | None
    bias: torch.nn.Parameter | None
    copy_numbers: Tensor

    def __init__(self, rep: Representation, *, scaled: bool, shifted: bool) -> None:
        super().__init__()
        self.rep_in = self.rep_out = rep
        self.change = ChangeOfBasis.shared(rep)
        self._copies = copies_of(rep)
        self._trivial = trivial_copies(self._copies)
        self._size = rep.size
        self.register_constant("copy_numbers", copy_numbers(rep))
        weight = torch.nn.Parameter(torch.ones(len(rep.irreps))) if scaled else None
        bias = torch.nn.Parameter(torch.zeros(self._trivial.multiplicity)) if shifted else None
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias if self._trivial.multiplicity else None)

    def spectral(self, x: Tensor) -> Tensor:
        """Spectral coordinates, at least in single precision, in which statistics are taken."""
        return self.change(x.to(torch.promote_types(x.dtype, torch.float32)))

    def spread(self, invariants: Tensor) -> Tensor:
        """Vectors (..., D) whose trivial copies are invariants (..., m) and whose others are zero."""
        return torch.nn.functional.pad(invariants, (self._trivial.start, self._size - self._trivial.stop))

    def affine(self, z: Tensor, scales: Tensor) -> Tensor:
        """Z (..., D) times scales (..., copies or 1) and the weight, plus the bias, in the user's basis."""
        scales = scales if self.weight is None else scales * self.weight.to(z.dtype)
        z = z * (scales if scales.shape[-1] == 1 else scales.index_select(-1, self.copy_numbers))
        return self.change.inverse(z if self.bias is None else z + self.spread(self.bias.to(z.dtype)))
