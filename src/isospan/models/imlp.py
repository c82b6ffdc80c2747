"""Invariant multilayer perceptrons."""

from collections.abc import Sequence

from torch import nn

from isospan._core.checks import check_count
from isospan.models.hidden import check_signal, hidden_representations
from isospan.models.network import equivariant_network, hidden_activation
from isospan.models.orbit_readout import OrbitReadout
from isospan.models.perceptron import Perceptron
from isospan.nn import IrrepInvariants
from isospan.nn.regular_linear import is_regular
from isospan.representations import Representation


class IMLP(Perceptron):
    r"""An invariant multilayer perceptron, :math:`f(\rho_\text{in}(g) x) = f(x)`.

    The hidden layers are those of :class:`EMLP`. Of the last one the means over the group's elements are invariant (for
    other representations than regular ones the invariants of :class:`isospan.nn.IrrepInvariants`), and a plain
    linear layer reads the output from them.

    Args:
        rep_in: how the group acts on the input.
        out_dim: entries of the output.
        hidden_units: widths of the hidden layers.
        activation: as in :class:`EMLP`.
        hidden_rep: as in :class:`EMLP`.
        bias: as in :class:`EMLP`; also of the last layer.

    Raises:
        RepresentationError, OptionError: as in :class:`EMLP`.

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> from isospan.testing import assert_equivariant
        >>> regular = DihedralGroup(4).regular_representation
        >>> assert_equivariant(IMLP(regular, 3, hidden_units=(32, 32)), regular, None)
    """

    def __init__(
        self,
        rep_in: Representation,
        out_dim: int,
        hidden_units: Sequence[int] = (128, 128, 128),
        activation: str = "ReLU",
        hidden_rep: Representation | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(rep_in)
        self.out_dim = check_count(out_dim, what="out_dim")
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_signal(rep_in, hidden[0], None)
        last = hidden[-1]
        act = hidden_activation(last, activation)
        layers = equivariant_network([rep_in, *hidden[:-1], act.rep_in], activation, bias=bias)
        self.network = nn.Sequential(layers, act, *_readout(last, self.out_dim, bias=bias))


def _readout(rep: Representation, out_dim: int, *, bias: bool) -> list[nn.Module]:
    if is_regular(rep):
        return [OrbitReadout(rep, out_dim, bias=bias)]
    invariants = IrrepInvariants(rep)
    return [invariants, nn.Linear(invariants.rep_out.size, out_dim, bias=bias)]
