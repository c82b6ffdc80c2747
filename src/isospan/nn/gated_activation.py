"""Activations by gates that the network computes."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._activations import Activation
from isospan.nn._gates import GatedCopies
from isospan.nn._inputs import check_features
from isospan.representations import Representation


class GatedActivation(GatedCopies):
    r"""Every copy of an irrep times a function of an invariant of its own, which the input holds besides.

    .. math:: (x, a) \mapsto f(a_i) \, x_i, \qquad x_i \mapsto f(x_i) \, x_i \;\text{where trivial}

    Trivial features are their own gates. The gates a are the last coordinates of the input: the layer before maps to
    ``rep_in``. Gates are invariant, so any function of all of them is equivariant too, as a softmax of the copies is.

    Args:
        rep: how the group acts on x.
        activation: f, a name of a module of torch.nn, or a module or function of tensors (..., copies).

    Attributes:
        rep_in: rep plus a trivial irrep for every copy of another one.
        rep_out: rep.

    Shapes:
        (..., rep_in.size) to (..., rep.size).

    Raises:
        OptionError: an unknown name.
        ShapeError, DtypeError: what the message says.

    Source: Weiler et al., 3D Steerable CNNs, 2018.

    Example:
        >>> from isospan.groups import SO2
        >>> gate = GatedActivation(2 * SO2().irrep(1))
        >>> gate.rep_in.size, gate(torch.tensor([3.0, 4, 3, 4, 0, 100]))
        (6, tensor([1.5000, 2.0000, 3.0000, 4.0000]))
    """

    def __init__(self, rep: Representation, activation: Activation = "Sigmoid") -> None:
        super().__init__(rep, activation)
        gates = sum(part.multiplicity for part in self._copies if not part.is_trivial)
        self.rep_in = rep + gates * rep.group.trivial_representation if gates else rep
        self.rep_out = rep
        self._sizes = rep.size, gates

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated features (..., rep.size)."""
        check_features(x, sum(self._sizes))
        features, gates = x.split(self._sizes, dim=-1)
        z = self.change(features)
        of_gates = iter(gates.split([part.multiplicity for part in self._copies if not part.is_trivial], dim=-1))
        invariants = [part.of(z).squeeze(-1) if part.is_trivial else next(of_gates) for part in self._copies]
        with full_precision(z):
            return self.gated(z, torch.cat(invariants, dim=-1))
