"""Activations of the norms of irreps."""

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.nn._activations import Activation
from isospan.nn._copies import each_irrep, norms
from isospan.nn._gates import GatedCopies
from isospan.representations import Representation


class NormActivation(GatedCopies):
    r"""Every copy of an irrep times a function of its norm, for any group and basis.

    .. math:: x_i \mapsto f(\|x_i\| + b_i) \, x_i, \qquad x_i \mapsto f(x_i + b_i) \, x_i \;\text{where trivial}

    With the sigmoid, trivial features pass through x · σ(x + b), the SiLU. Gradients are finite at zero. Norms are
    invariant, so any function of all of them is equivariant too, as a softmax or a LayerNorm of the copies is.

    Args:
        rep: how the group acts.
        activation: f, a name of a module of torch.nn, or a module or function of tensors (..., copies).
        bias: whether there is a parameter b for every copy, zero at first.

    Attributes:
        rep_in, rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        OptionError: an unknown name.
        ShapeError, DtypeError: what the message says.

    Source: Worrall et al., Harmonic Networks: Deep Translation and Rotation Equivariance, 2017.

    Example:
        >>> from isospan.groups import SO2
        >>> NormActivation(SO2().irrep(1), "ReLU", bias=False)(torch.tensor([3.0, 4.0]))
        tensor([15., 20.])
    """

    bias: torch.nn.Parameter | None

    def __init__(self, rep: Representation, activation: Activation = "Sigmoid", bias: bool = True) -> None:
        super().__init__(rep, activation)
        self.rep_in = self.rep_out = rep
        parameter = torch.nn.Parameter(torch.zeros(len(rep.irreps))) if bias else None
        self.register_parameter("bias", parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., rep.size) with every copy rescaled."""
        z = self.change(x)
        with full_precision(z):
            parts = zip(each_irrep(z, self._copies), self._copies, strict=True)
            sizes = [_size(X, signed=part.is_trivial) for X, part in parts]
            invariants = torch.cat(sizes, dim=-1)
            invariants = invariants if self.bias is None else invariants + self.bias.to(z.dtype)
            return self.gated(z, invariants)


def _size(X: Tensor, *, signed: bool) -> Tensor:
    """The norms (..., m) of copies (..., m, d), or the numbers themselves."""
    return X.squeeze(-1) if signed else norms(X)
