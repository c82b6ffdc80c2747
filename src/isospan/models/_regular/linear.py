"""Equivariant maps between copies of the regular representation."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from isospan.errors import RepresentationError
from isospan.groups import FiniteGroup
from isospan.nn._base.cached_weight import Freezable
from isospan.nn._base.layer import check_features
from isospan.representations import Representation


class RegularLinear(Freezable):
    r"""An equivariant affine map between copies of the regular representation: a group convolution.

    .. math:: y_{g o} = b_o + \sum_{h, i} c_{g^{-1} h, o i} \, x_{h i}

    with one (m_out, m_in) matrix of coefficients c for each element. It has no buffers: each expansion of the dense
    weight computes the index of the coefficients again. :class:`RegularNetwork` computes chains of layers faster than
    one after the other.

    Args:
        rep_in: copies of the group's regular representation.
        rep_out: the same.
        bias: add an invariant vector, of one parameter for each copy.

    Raises:
        RepresentationError: a representation does not consist of regular copies.

    Source: Cohen and Welling, Group equivariant convolutional networks, 2016.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> layer = RegularLinear(2 * regular, 4 * regular)
        >>> layer.coefficients.shape, layer(torch.randn(10, 6)).shape
        (torch.Size([3, 4, 2]), torch.Size([10, 12]))
    """

    def __init__(self, rep_in: Representation, rep_out: Representation, bias: bool = True) -> None:
        super().__init__(rep_in, rep_out)
        n, m_in, m_out = (
            rep_in.group.order(),
            element_coordinates(rep_in).shape[1],
            element_coordinates(rep_out).shape[1],
        )
        self.coefficients = torch.nn.Parameter(torch.empty(n, m_out, m_in))
        self.bias_coefficients = torch.nn.Parameter(torch.empty(m_out)) if bias else None
        self.reset_parameters()

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw parameters as :class:`torch.nn.Linear` of the same width does."""
        bound = self.rep_in.size**-0.5
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., rep_out.size)."""
        check_features(x, self.rep_in.size)
        return linear(x, *self.dense())

    def _synthesized(self) -> Tensor:
        index = torch.tensor(coefficient_index(self), device=self.coefficients.device)
        by_element = self.coefficients.flatten().index_select(0, index).view(self.rep_out.size, self.rep_in.size)
        return by_element.index_select(0, self._order(self.rep_out)).index_select(1, self._order(self.rep_in))

    def _spread_bias(self) -> Tensor | None:
        b = self.bias_coefficients
        return None if b is None else b.repeat(len(self.coefficients)).index_select(0, self._order(self.rep_out))

    def _order(self, rep: Representation) -> Tensor:
        """The position (D,) of every coordinate among those that are sorted by element, then by copy."""
        return torch.tensor(np.argsort(element_coordinates(rep), axis=None), device=self.coefficients.device)


def coefficient_index(layer: RegularLinear) -> np.ndarray:
    """Index of the coefficient at every entry of the dense weight, flat, of coordinates by element, then by copy."""
    coefficients = np.arange(layer.coefficients.numel(), dtype=np.int32).reshape(layer.coefficients.shape)
    return coefficients[quotients(layer.rep_in.group)].transpose(0, 2, 1, 3).ravel()


def is_regular(rep: Representation) -> bool:
    """Whether a representation consists of copies of the regular one of a finite group, up to the order of coordinates.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> group = CyclicGroup(3)
        >>> is_regular(2 * group.regular_representation), is_regular(group.irreps()[1])
        (True, False)
    """
    if rep.group.order() is None or len(rep.blocks) != 1:
        return False
    return rep.blocks[0].action.key == rep.group.regular_representation.blocks[0].action.key


def element_coordinates(rep: Representation) -> np.ndarray:
    """Coordinate of every element in every copy of the regular representation, (|G|, m).

    Raises:
        RepresentationError: there are other blocks than regular ones.
    """
    if not is_regular(rep):
        raise RepresentationError(
            f"A group convolution maps copies of the regular representation, got {rep.name!r} of {rep.group.name}. "
            "Use isospan.nn.Linear, which maps any representation."
        )
    order = np.argsort(rep.group.regular_representation.blocks[0].indices[0])
    return rep.blocks[0].indices[:, order].T


def quotients(group: FiniteGroup) -> np.ndarray:
    """Index of g⁻¹ h, (|G|, |G|)."""
    table = np.asarray(group.table)
    return table[np.argmax(table == group.identity.index, axis=1)]
