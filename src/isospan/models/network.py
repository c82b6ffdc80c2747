"""Equivariant linear layers with activations between them."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from isospan.models.norm_gates import NormGates
from isospan.nn import Linear, Pointwise
from isospan.nn._activations import as_activation
from isospan.nn.regular_linear import is_regular
from isospan.nn.regular_network import RegularNetwork
from isospan.representations import Representation


def equivariant_network(reps: Sequence[Representation], activation: str, *, bias: bool) -> nn.Sequential:
    """Linear layers from each representation to the next, and activations between them.

    Copies of the regular representation are chained by group convolutions; other representations have general linear
    layers, and activations that suit them: of every coordinate where the group permutes these, else sigmoid gates.

    Raises:
        OptionError: an unknown activation, also where gates take its place.
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
    """Linear layers, activations and what else there is, one after the other, of nested chains."""
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
