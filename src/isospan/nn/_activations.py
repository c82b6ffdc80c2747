"""Equivariant activations: of coordinates, of norms, and gated."""

from collections.abc import Callable

import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import EquivarianceError, ShapeError
from isospan.nn._base.activations import Activation, activation_name, as_activation, commutes
from isospan.nn._base.components import by_component, invariant_count, norms
from isospan.nn._base.layer import Device, Layer, check_features, to_device
from isospan.nn._bases import IrrepBasisLayer
from isospan.representations import Representation


class GatedCopies(IrrepBasisLayer):
    """Base of activations that multiply each copy of an irrep by a function of an invariant.

    Args:
        rep: representation of the features.
        activation: the function.
    """

    def __init__(self, rep: Representation, activation: Activation) -> None:
        super().__init__(rep)
        self.activation: Callable[[Tensor], Tensor] = as_activation(activation)

    def gated(self, z: Tensor, invariants: Tensor) -> Tensor:
        """Coordinates z in the irrep basis times f of invariants (..., copies), in the basis of the input."""
        factors = self.activation(invariants)
        if factors.shape != invariants.shape:
            raise ShapeError(
                f"{activation_name(self.activation)} must give every copy of an irrep a factor, so tensors of shape "
                f"{tuple(invariants.shape)} like its input, got {tuple(factors.shape)}. Keep the last axis."
            )
        return self.change.inverse(self.scaled(z, factors))

    def extra_repr(self) -> str:
        """The activation, where it is a function."""
        return "" if isinstance(self.activation, torch.nn.Module) else activation_name(self.activation)


class Pointwise(Layer):
    r"""Any activation on coordinates that the group permutes, and odd ones on those that it permutes up to sign.

    The constructor checks both: the representation, and values of the activation with random parameters, in training
    and in evaluation. A slope for each coordinate, or a random draw, would break the symmetry. A function that treats
    all coordinates alike, such as a softmax of them, commutes with permutations.

    Args:
        rep: representation of the features, whose coordinates every element permutes, up to sign for odd activations.
        activation: name of a module of torch.nn, a module, or a function.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

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

    def __init__(
        self,
        rep: Representation,
        activation: Activation = "ReLU",
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep)
        self.activation: Callable[[Tensor], Tensor] = as_activation(activation)
        name = activation_name(self.activation)
        _check_permutes(rep, name)
        known = rep.is_permutation and isinstance(activation, str)  # functions in NAMES act on every coordinate alike
        for element, order, signs in [] if known else _signed_permutations(rep):
            if not commutes(self.activation, order, signs):
                raise EquivarianceError(_refusal(name, element, rep, signed=bool((signs < 0).any())))
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of every coordinate."""
        check_features(x, self.rep_in.size)
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
    found = []
    for element, M in zip(rep.group.generators, torch.tensor(rep.generators, device="cpu"), strict=True):
        order = M.abs().argmax(1)
        found.append((element, order, M.gather(1, order.unsqueeze(1)).squeeze(1)))
    return found


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


class NormActivation(GatedCopies):
    r"""Multiply each copy of an irrep by a function of its norm, for any group and basis.

    .. math:: x_i \mapsto f(\|x_i\| + b_i) \, x_i, \qquad x_i \mapsto f(x_i + b_i) \, x_i \;\text{where trivial}

    With the sigmoid, trivial features become x · σ(x + b), the SiLU. Gradients are finite at zero. Norms are invariant,
    so f may also be a function of all of them, such as a softmax or a LayerNorm of the copies.

    Args:
        rep: representation of the features.
        activation: f, a name of a module of torch.nn, or a module or function of tensors (..., copies).
        bias: whether there is a parameter b for every copy, zero at initialisation.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        OptionError: an unknown name.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Worrall et al., Harmonic Networks: Deep Translation and Rotation Equivariance, 2017.

    Example:
        >>> from isospan.groups import SO2
        >>> NormActivation(SO2().irrep(1), "ReLU", bias=False)(torch.tensor([3.0, 4.0]))
        tensor([15., 20.])
    """

    bias: torch.nn.Parameter | None

    def __init__(
        self,
        rep: Representation,
        activation: Activation = "Sigmoid",
        bias: bool = True,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep, activation)
        parameter = torch.nn.Parameter(torch.zeros(len(rep.irreps))) if bias else None
        self.register_parameter("bias", parameter)
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., rep.size) with every copy rescaled."""
        z = self.change(x)
        with full_precision(z):
            parts = zip(by_component(z, self._components), self._components, strict=True)
            invariants = torch.cat([X.squeeze(-1) if part.is_trivial else norms(X) for X, part in parts], dim=-1)
            invariants = invariants if self.bias is None else invariants + self.bias.to(z.dtype)
            return self.gated(z, invariants)


class GatedActivation(GatedCopies):
    r"""Multiply each copy of an irrep by a function of its gate, which is an invariant in the input.

    .. math:: (x, a) \mapsto f(a_i) \, x_i, \qquad x_i \mapsto f(x_i) \, x_i \;\text{where trivial}

    Trivial features are their own gates. The gates a are the last coordinates of the input: the layer before maps to
    ``rep_in``. Gates are invariant, so f may also be a function of all of them, such as a softmax of the copies.

    Args:
        rep: representation of x.
        activation: f, a name of a module of torch.nn, or a module or function of tensors (..., copies).
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep plus a trivial irrep for every copy of another one.
        rep_out: rep.

    Shapes:
        (..., rep_in.size) to (..., rep.size).

    Raises:
        OptionError: an unknown name.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Weiler et al., 3D Steerable CNNs, 2018.

    Example:
        >>> from isospan.groups import SO2
        >>> gate = GatedActivation(2 * SO2().irrep(1))
        >>> gate.rep_in.size, gate(torch.tensor([3.0, 4, 3, 4, 0, 100]))
        (6, tensor([1.5000, 2.0000, 3.0000, 4.0000]))
    """

    def __init__(
        self,
        rep: Representation,
        activation: Activation = "Sigmoid",
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep, activation)
        self._invariants = invariant_count(rep)
        gates = len(rep.irreps) - self._invariants
        self.rep_in: Representation = rep + gates * rep.group.trivial_representation if gates else rep
        self._sizes = rep.size, gates
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated features (..., rep.size)."""
        check_features(x, sum(self._sizes))
        features, gates = x.split(self._sizes, dim=-1)
        z = self.change(features)
        with full_precision(z):
            return self.gated(z, torch.cat([z[..., : self._invariants], gates], dim=-1))
