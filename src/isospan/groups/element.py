"""Elements of finite groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isospan._core.immutable import Immutable
from isospan.errors import GroupMismatchError

if TYPE_CHECKING:
    from isospan.groups.finite import FiniteGroup


class GroupElement(Immutable):
    """Element of a finite group: the group and a number. ``g @ h`` or ``g * h`` is the product, ``~g`` the inverse.

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> r, s = DihedralGroup(4).generators
        >>> s @ r @ s == ~r, r**4, r @ s
        (True, e, r s)
    """

    group: FiniteGroup
    index: int

    def __init__(self, group: FiniteGroup, index: int) -> None:
        self._set(group=group, index=int(index))

    @property
    def value(self) -> Any:
        """What the group was built from: a permutation, a matrix or a label; None for abstract groups."""
        values = self.group.values
        return None if values is None else values[self.index]

    def order(self) -> int:
        """The least n >= 1 for which gⁿ is the identity."""
        n, product = 1, self
        while product.index != self.group.graph.root:
            n, product = n + 1, product @ self
        return n

    def __matmul__(self, other: GroupElement) -> GroupElement:
        if not isinstance(other, GroupElement):
            return NotImplemented
        if other.group != self.group:
            raise GroupMismatchError(
                f"Only elements of one group have a product, got {self!r} of {self.group.name} and {other!r} of "
                f"{other.group.name}."
            )
        return GroupElement(self.group, self.group.graph.product(self.index, other.index))

    __mul__ = __matmul__

    def __invert__(self) -> GroupElement:
        return GroupElement(self.group, int(self.group.graph.inverses[self.index]))

    def __pow__(self, exponent: int) -> GroupElement:
        return power(self, exponent)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupElement) and self.index == other.index and self.group == other.group

    def __hash__(self) -> int:
        return hash((self.group, self.index))

    def __repr__(self) -> str:
        return self.group.text(self.index)


def power(element: Any, exponent: int) -> Any:
    """The power of an element of any group, from its repeated squares."""
    square, product = element if exponent >= 0 else ~element, element.group.identity
    for bit in reversed(f"{abs(exponent):b}"):
        product = product @ square if bit == "1" else product
        square = square @ square
    return product
