"""Equivariant multilayer perceptrons."""

from collections.abc import Sequence

from isospan.models.hidden import check_reach, check_signal, hidden_representations
from isospan.models.network import equivariant_network
from isospan.models.perceptron import Perceptron
from isospan.representations import Representation


class EMLP(Perceptron):
    r"""An equivariant multilayer perceptron, :math:`f(\rho_\text{in}(g) x) = \rho_\text{out}(g) f(x)`.

    Linear layers commute with the group, and activations act where they commute with it too: by default on copies of
    the regular representation, whose coordinates a finite group only permutes. Widths are rounded up to whole copies.

    Args:
        rep_in: how the group acts on the input.
        rep_out: how it acts on the output.
        hidden_units: widths of the hidden layers.
        activation: name of an activation of ``torch.nn``, of every coordinate. Where the group mixes coordinates of the
            hidden layers no such function is equivariant, and sigmoid gates take its place
            (:class:`isospan.nn.GatedActivation`), which learn of the norms of all features. Gates turn no irrep into
            another: what the input lacks stays zero in the output, but for invariants. Where that is wanted, as a cross
            product of vectors x and y is, add the entries of x yᵀ to the input, which transform as ``rep_x & rep_y``.
        hidden_rep: what hidden layers consist of copies of. By default the regular representation; for a Lie group all
            irreps up to frequency 2.
        bias: add invariant vectors.

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: the hidden representation lacks an irrep of the input or the output, or there are gates and
            the output would be zero.
        OptionError: an unknown activation, or a width below 1.

    Source: Finzi, Welling and Wilson, A Practical Method for Constructing Equivariant Multilayer Perceptrons, 2021.

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> from isospan.testing import assert_equivariant
        >>> vector, regular = DihedralGroup(4).irreps()[-1], DihedralGroup(4).regular_representation
        >>> model = EMLP(vector + regular, vector, hidden_units=(32, 32))
        >>> assert_equivariant(model, vector + regular, vector)
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        hidden_units: Sequence[int] = (128, 128, 128),
        activation: str = "ReLU",
        hidden_rep: Representation | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(rep_in)
        self.rep_out = rep_out
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_signal(rep_in, hidden[0], rep_out)
        check_reach(rep_in, hidden[0], rep_out)
        self.network = equivariant_network([rep_in, *hidden, rep_out], activation, bias=bias)
