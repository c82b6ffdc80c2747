"""Elements of Lie groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isospan._core.immutable import Immutable, read_only
from isospan.errors import GroupMismatchError
from isospan.groups.element import power

if TYPE_CHECKING:
    from isospan.groups.lie import LieGroup

SAME = 1e-9
"""Largest difference of matrices that are one element."""


class LieElement(Immutable):
    """Element of a Lie group: an orthogonal matrix for every SO(n) or O(n), an element for every finite factor.

    ``g @ h`` or ``g * h`` is the product, ``~g`` the inverse, ``g**n`` a power; elements are equal up to rounding.

    Example:
        >>> from isospan.groups import SO2
        >>> turn = SO2().exp([np.pi / 3])
        >>> turn @ turn @ turn == SO2().exp([np.pi]), ~turn == SO2().exp([-np.pi / 3])
        (True, True)
    """

    group: LieGroup
    parts: tuple[Any, ...]

    def __init__(self, group: LieGroup, parts: tuple[Any, ...]) -> None:
        self._set(group=group, parts=tuple(read_only(part) for part in parts))

    @property
    def matrix(self) -> np.ndarray:
        """The matrix (d, d) of an element of a group of one factor.

        Raises:
            GroupMismatchError: the group is a product; see ``parts``.
        """
        if len(self.parts) != 1:
            raise GroupMismatchError(f"An element of {self.group.name} has several parts. Use g.parts.")
        (matrix,) = self.parts
        return matrix

    def __matmul__(self, other: LieElement) -> LieElement:
        if not isinstance(other, LieElement):
            return NotImplemented
        if other.group != self.group:
            raise GroupMismatchError(
                f"Only elements of one group have a product, got those of {self.group.name} and {other.group.name}."
            )
        return LieElement(self.group, tuple(a @ b for a, b in zip(self.parts, other.parts, strict=True)))

    __mul__ = __matmul__

    def __invert__(self) -> LieElement:
        return LieElement(self.group, tuple(p.T if isinstance(p, np.ndarray) else ~p for p in self.parts))

    def __pow__(self, exponent: int) -> LieElement:
        return power(self, exponent)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LieElement) or other.group != self.group:
            return False
        return all(_same(a, b) for a, b in zip(self.parts, other.parts, strict=True))

    def __hash__(self) -> int:
        return hash(self.group)

    def __repr__(self) -> str:
        texts = [_text(part) for part in self.parts]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _same(a: Any, b: Any) -> bool:
    return bool(abs(a - b).max() < SAME) if isinstance(a, np.ndarray) else a == b


def _text(part: Any) -> str:
    if not isinstance(part, np.ndarray):
        return repr(part)
    if (part == np.eye(len(part))).all():
        return "1"
    return str((part.round(3) + 0.0).tolist())
