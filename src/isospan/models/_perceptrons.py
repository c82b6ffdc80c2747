"""Equivariant and invariant multilayer perceptrons."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from isospan._core.checks import check_count
from isospan.models._hidden import check_contained, check_signal, hidden_representations
from isospan.models._network import equivariant_network, hidden_activation, plain_network, steps
from isospan.models._regular.linear import element_coordinates, is_regular
from isospan.nn import IrrepInvariants
from isospan.nn._base.cached_weight import Freezable, Freezes
from isospan.nn._base.layer import Device, to_device
from isospan.representations import Representation


class Perceptron(Freezes):
    """Base of networks that are chains of linear layers and activations of one signal."""

    network: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        """Return y of x (..., rep_in.size)."""
        return self.network(x)

    def export(self) -> nn.Sequential:
        """Return a torch.nn.Sequential of the same function that shares nothing with this network.

        Raises:
            OptionError: torch has no module for a part of it, as for :class:`isospan.nn.IrrepInvariants`.
        """
        return plain_network(steps(self.network)).train(self.training)


class EMLP(Perceptron):
    r"""An equivariant multilayer perceptron, :math:`f(\rho_\text{in}(g) x) = \rho_\text{out}(g) f(x)`.

    Linear layers and activations commute with the group. By default hidden layers are copies of the regular
    representation, whose coordinates a finite group permutes. Widths are rounded up to whole copies.

    Args:
        rep_in: representation of the input.
        rep_out: representation of the output.
        hidden_units: widths of the hidden layers.
        activation: name of an activation of ``torch.nn``, of each coordinate. Where the group mixes coordinates of the
            hidden layers, no such function is equivariant. Sigmoid gates of the norms of all features are used instead
            (:class:`isospan.nn.GatedActivation`). Gates map no irrep to another, so irreps that the input lacks are
            zero in the output, except invariants. For outputs such as the cross product of vectors x and y, add the
            entries of x yᵀ to the input, which transform as ``rep_x & rep_y``.
        hidden_rep: representation of whose copies hidden layers consist. By default the regular representation; for a
            Lie group all irreps up to frequency 2.
        bias: add invariant vectors.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

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
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.rep_in: Representation = rep_in
        self.rep_out: Representation = rep_out
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_signal(rep_in, hidden[0], rep_out)
        self.network: nn.Sequential = equivariant_network([rep_in, *hidden, rep_out], activation, bias=bias)
        to_device(self, device, dtype)


class OrbitReadout(Freezable):
    """A linear map of the means of all copies of the regular representation over the elements of the group.

    Args:
        rep: copies of the regular representation.
        out_dim: entries of the output.
        bias: add one to it.
    """

    copy_index: Tensor

    def __init__(self, rep: Representation, out_dim: int, *, bias: bool) -> None:
        super().__init__(rep, out_dim * rep.group.trivial_representation)
        coordinates = element_coordinates(rep)
        of_means = nn.Linear(coordinates.shape[1], out_dim, bias=bias)
        self.coefficients, self.bias_coefficients = of_means.weight, of_means.bias
        self.register_constant("copy_index", (coordinates.argsort(axis=None) % coordinates.shape[1]).astype(np.int32))
        self._order = len(coordinates)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., out_dim)."""
        return linear(x, *self.dense())

    def _synthesized(self) -> Tensor:
        return (self.coefficients / self._order).index_select(1, self.copy_index)

    def _spread_bias(self) -> Tensor | None:
        return self.bias_coefficients


class IMLP(Perceptron):
    r"""An invariant multilayer perceptron, :math:`f(\rho_\text{in}(g) x) = f(x)`.

    The hidden layers are those of :class:`EMLP`. A plain linear layer maps invariants of the last one to the output:
    means over the elements of the group where it is regular, else those of :class:`isospan.nn.IrrepInvariants`.

    Args:
        rep_in: representation of the input.
        out_dim: entries of the output.
        hidden_units: widths of the hidden layers.
        activation: as in :class:`EMLP`.
        hidden_rep: as in :class:`EMLP`.
        bias: as in :class:`EMLP`; also of the last layer.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

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
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.rep_in: Representation = rep_in
        self.out_dim: int = check_count(out_dim, what="out_dim")
        hidden = hidden_representations(rep_in, hidden_units, hidden_rep)
        check_contained(rep_in, hidden[0], "input", "lost")
        last = hidden[-1]
        act = hidden_activation(last, activation)
        layers = equivariant_network([rep_in, *hidden[:-1], act.rep_in], activation, bias=bias)
        self.network: nn.Sequential = nn.Sequential(layers, act, *_readout(last, self.out_dim, bias=bias))
        to_device(self, device, dtype)


def _readout(rep: Representation, out_dim: int, *, bias: bool) -> list[nn.Module]:
    if is_regular(rep):
        return [OrbitReadout(rep, out_dim, bias=bias)]
    invariants = IrrepInvariants(rep)
    return [invariants, nn.Linear(invariants.rep_out.size, out_dim, bias=bias)]
