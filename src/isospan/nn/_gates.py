"""Copies of irreps times invariant factors."""

import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.nn._activations import Activation, activation_name, as_activation
from isospan.nn._constants import Constants
from isospan.nn._copies import copies_of, copy_numbers
from isospan.nn.change_of_basis import ChangeOfBasis
from isospan.representations import Representation


class GatedCopies(Constants):
    """Base of activations that multiply every copy of an irrep by a function of an invariant.

    Args:
        rep: how the group acts.
        activation: the function.
    """

    copy_numbers: Tensor

    def __init__(self, rep: Representation, activation: Activation) -> None:
        super().__init__()
        self.activation = as_activation(activation)
        self.change = ChangeOfBasis.shared(rep)
        self._copies = copies_of(rep)
        self.register_constant("copy_numbers", copy_numbers(rep))

    def gated(self, z: Tensor, invariants: Tensor) -> Tensor:
        """Spectral coordinates z times the activation of invariants (..., copies), in the user's basis."""
        factors = self.activation(invariants)
        if factors.shape != invariants.shape:
            raise ShapeError(
                f"{activation_name(self.activation)} must give every copy of an irrep a factor, so tensors of shape "
                f"{tuple(invariants.shape)} for such ones, got {tuple(factors.shape)}. Keep the last axis."
            )
        return self.change.inverse(z * factors.index_select(-1, self.copy_numbers))

    def extra_repr(self) -> str:
        """The activation, where it is a function."""
        return "" if isinstance(self.activation, torch.nn.Module) else activation_name(self.activation)
