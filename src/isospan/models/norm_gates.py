"""Gates that are computed of all features."""

from torch import Tensor, nn

from isospan.nn import GatedActivation, IrrepNorm, Linear
from isospan.representations import Representation


class NormGates(nn.Module):
    r"""Sigmoid gates and invariant features that learn of the norms of all copies of irreps before they act.

    .. math:: x \mapsto \operatorname{gated}\Bigl( x + L \, (\|x_1\|, \ldots, \|x_n\|) \Bigr)

    Linear maps and gates alone never make invariants of vectors: a network of these that sees only vectors is linear.
    Norms of features that a layer has mixed know the angles between them, so no products are needed.

    Args:
        rep: how the group acts on the features.

    Attributes:
        rep_in: that of :class:`isospan.nn.GatedActivation`, rep and the gates.
        rep_out: rep.

    Shapes:
        x (..., rep_in.size) to (..., rep.size).

    Example:
        >>> import torch
        >>> from isospan.groups import SO2
        >>> gates = NormGates(SO2().irrep(1))
        >>> x = torch.tensor([3.0, 4.0, 0.0])
        >>> torch.allclose(gates(2 * x), 2 * gates(x))
        False
    """

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.gated = GatedActivation.shared(rep)
        self.rep_in, self.rep_out = self.gated.rep_in, rep
        self.norms = IrrepNorm(self.rep_in)
        self.mixing = Linear(self.norms.rep_out, self.rep_in)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated features."""
        return self.gated(x + self.mixing(self.norms(x)))
