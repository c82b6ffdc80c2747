"""Equivariant linear layers with activations between them, and plain networks of the same function."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from isospan.errors import OptionError
from isospan.models._regular.linear import is_regular
from isospan.models._regular.network import RegularNetwork
from isospan.nn import GatedActivation, IrrepNorm, Linear, Pointwise
from isospan.nn._base.activations import as_activation
from isospan.nn._base.cached_weight import Freezable, plain_linear
from isospan.representations import Representation


class NormGates(nn.Module):
    r"""Sigmoid gates that are functions of the norms of all copies of irreps.

    .. math:: x \mapsto \operatorname{gated}\Bigl( x + L \, (\|x_1\|, \ldots, \|x_n\|) \Bigr)

    Linear maps and gates alone compute no invariants of vectors, so a network of these is linear in vectors. Norms of
    features that a layer has mixed depend on the angles between them, so no products are needed.

    Args:
        rep: representation of the features.

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
        self.gated = GatedActivation(rep)
        self.rep_in, self.rep_out = self.gated.rep_in, rep
        self.norms = IrrepNorm(self.rep_in)
        self.mixing = Linear(self.norms.rep_out, self.rep_in)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated features."""
        return self.gated(x + self.mixing(self.norms(x)))


def equivariant_network(reps: Sequence[Representation], activation: str, *, bias: bool) -> nn.Sequential:
    """Linear layers from each representation to the next, and activations between them.

    Copies of the regular representation have chains of group convolutions. Other representations have general linear
    layers, with an activation of each coordinate where the group permutes these, else with sigmoid gates.

    Raises:
        OptionError: an unknown activation, also where gates are used instead.
    """
    as_activation(activation)
    if len(reps) == 2 and not all(map(is_regular, reps)):
        return nn.Sequential(Linear(*reps, bias=bias))
    if not all(is_regular(hidden) for hidden in reps[1:-1]):
        return nn.Sequential(*_general_layers(reps, activation, bias=bias))
    start, stop = (0 if is_regular(reps[0]) else 1), (len(reps) if is_regular(reps[-1]) else len(reps) - 1)
    layers: list[nn.Module] = []
    if start == 1:
        layers += [Linear(*reps[:2], bias=bias), Pointwise(reps[1], activation)]
    if stop - start > 1:
        layers += [RegularNetwork(reps[start:stop], as_activation(activation), bias=bias)]
        layers += [Pointwise(reps[-2], activation)] if stop < len(reps) else []
    if stop < len(reps):
        layers += [Linear(*reps[-2:], bias=bias)]
    return nn.Sequential(*layers)


def steps(module: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """The layers and activations of nested chains, one after the other."""
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from steps(part)
    elif isinstance(module, RegularNetwork):
        yield from module.steps()
    else:
        yield module.activation if isinstance(module, Pointwise) else module


def hidden_activation(rep: Representation, activation: str) -> Pointwise | NormGates:
    """An activation of every coordinate where the group permutes these, else sigmoid gates."""
    return Pointwise(rep, activation) if rep.is_permutation else NormGates(rep)


def _general_layers(reps: Sequence[Representation], activation: str, *, bias: bool) -> list[nn.Module]:
    layers, rep = [], reps[0]
    for hidden in reps[1:-1]:
        act = hidden_activation(hidden, activation)
        layers += [Linear(rep, act.rep_in, bias=bias), act]
        rep = hidden
    return [*layers, Linear(rep, reps[-1], bias=bias)]


@torch.no_grad()
def plain_network(steps: Iterable[object]) -> nn.Sequential:
    """A torch.nn.Sequential of torch's modules for these steps, with which it shares nothing.

    Raises:
        OptionError: torch has no module for a step.
    """
    parts: list[nn.Module] = []
    for step in steps:
        if isinstance(step, Freezable):
            parts.append(plain_linear(*step.dense()))
        elif isinstance(step, nn.Module) and type(step).__module__.startswith("torch.nn."):
            parts.append(copy.deepcopy(step))
        else:
            raise OptionError(
                f"torch has no module for {type(step).__name__}, so a network with it has no plain counterpart. Use "
                "torch.export.export(model.freeze(), ...), or hidden layers of regular representations."
            )
    return nn.Sequential(*parts)
