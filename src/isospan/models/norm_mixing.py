"""Invariant features that learn of the other features."""

from torch import Tensor, nn

from isospan.nn import IrrepNorm, Linear
from isospan.representations import Representation


class NormMixing(nn.Module):
    r"""Adds a linear map of the norms of all copies of irreps to the invariant features, :math:`x + L \|x_i\|`.

    Linear maps and gates alone never make invariants of vectors: a network of these that sees only vectors is linear.
    Norms of mixed features know the angles between them, so that no products are needed.

    Args:
        rep: how the group acts; contains the trivial irrep.

    Shapes:
        x (..., rep.size) to the same.

    Example:
        >>> import torch
        >>> from isospan.groups import SO2
        >>> mixing = NormMixing(SO2().irrep(1) + SO2().irrep(0))
        >>> (mixing(torch.tensor([3.0, 4.0, 0.0]))[2] != 0).item()
        True
    """

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.rep_in = self.rep_out = rep
        self.norms = IrrepNorm(rep)
        self.linear = Linear(self.norms.rep_out, rep)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, of which the invariant ones have changed."""
        return x + self.linear(self.norms(x))
