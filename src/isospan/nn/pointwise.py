"""Activations of single coordinates, where the group permutes these."""

import torch
from torch import Tensor

from isospan.errors import EquivarianceError
from isospan.nn._activations import Activation, activation_name, as_activation, commutes
from isospan.nn._inputs import check_features
from isospan.representations import Representation, check_representation


class Pointwise(torch.nn.Module):
    r"""Any activation on coordinates that the group permutes, and odd ones on those that it permutes up to sign.

    Both is checked when the layer is made, on the representation and by values of the activation, with whatever
    parameters and in training too: a slope for each coordinate, or a draw at random, would break the symmetry. What
    looks at all coordinates alike, as a softmax of them does, keeps permutations.

    Args:
        rep: how the group acts; every element has to permute the coordinates, up to sign for odd activations.
        activation: name of a module of torch.nn, a module, or a function.

    Attributes:
        rep_in, rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        EquivarianceError: the pair does not commute; the message names the remedy.
        OptionError: an unknown name.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> Pointwise(regular, "ReLU")(torch.tensor([1.0, -2.0, 3.0]))
        tensor([1., 0., 3.])
        >>> Pointwise(CyclicGroup(3).irrep(1), "ReLU")
        Traceback (most recent call last):
        ...
        isospan.errors.EquivarianceError: ...
    """

    def __init__(self, rep: Representation, activation: Activation = "ReLU") -> None:
        super().__init__()
        check_representation(rep)
        self.rep_in = self.rep_out = rep
        self._size = rep.size
        self.activation = as_activation(activation)
        name = activation_name(self.activation)
        _check_permutes(rep, name)
        if rep.is_permutation and isinstance(activation, str):
            return  # names are those of functions of single numbers
        for element, order, signs in _signed_permutations(rep):
            if not commutes(self.activation, order, signs):
                raise EquivarianceError(_refusal(name, element, rep, signed=bool((signs < 0).any())))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of every coordinate."""
        check_features(x, self._size)
        return self.activation(x)


def _check_permutes(rep: Representation, name: str) -> None:
    """Require that every element permutes the coordinates up to sign."""
    for block in rep.blocks:
        M = block.action.generators
        if block.action.algebra.any() or not ((M == 0) | (abs(M) == 1)).all():
            raise EquivarianceError(
                f"{name} acts on single coordinates, so the group must permute them, but {rep.group.name} mixes "
                f"them in {rep.name!r}. Use NormActivation, GatedActivation or FourierActivation, or a permutation "
                "representation such as group.regular_representation."
            )


def _signed_permutations(rep: Representation) -> list[tuple[object, Tensor, Tensor]]:
    """Every generator with its order and signs: (M x)ᵢ = signsᵢ x[orderᵢ]."""
    moves = []
    for element, M in zip(rep.group.generators, torch.tensor(rep.generators, device="cpu"), strict=True):
        order = M.abs().argmax(1)
        moves.append((element, order, M.gather(1, order.unsqueeze(1)).squeeze(1)))
    return moves


def _refusal(name: str, element: object, rep: Representation, *, signed: bool) -> str:
    if signed:
        return (
            f"Where {rep.group.name} changes signs of coordinates, as {element} does in {rep.name!r}, an activation "
            f"must be odd, f(-x) = -f(x), with whatever parameters and in training too, but {name} is not. Use Tanh, "
            "Softsign or Hardtanh, or a NormActivation."
        )
    return (
        "The activation must act on every coordinate in the same way, with whatever parameters and in training too, "
        f"but {name} does not commute with {element}, which permutes those of {rep.name!r}. Use one with neither "
        "parameters, statistics nor random draws for each coordinate, such as ReLU, LeakyReLU or SiLU."
    )
