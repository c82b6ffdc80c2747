"""What a representation has to know of its group, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from isospan.representations.words import WordTree

if TYPE_CHECKING:
    from isospan.representations.irrep import Irrep


class Element(Protocol):
    """An element of a group: knows which."""

    @property
    def group(self) -> Any:
        """The group it belongs to."""
        ...


class SymmetryGroup(Protocol):
    """A compact group: the identity's component is exp of an algebra, and finitely many generators do the rest.

    A finite group has no algebra and a tree of words; a Lie group has an algebra of ``algebra_dim`` dimensions, one
    generator for each other component, and no tree.
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def generators(self) -> tuple[Any, ...]:
        """The generators, for a Lie group those outside the identity's component."""
        ...

    @property
    def algebra_dim(self) -> int:
        """Dimension of the Lie algebra, 0 for a finite group."""
        ...

    @property
    def tree(self) -> WordTree | None:
        """Words of all elements, None where they are infinite in number."""
        ...

    @property
    def identity(self) -> Any:
        """The neutral element."""
        ...

    def order(self) -> int | None:
        """Number of elements, None where infinite."""
        ...

    def factor(self, element: Any) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Coordinates x and (generator, exponent) runs with g = exp(Σ xᵢ Xᵢ) times the product of the runs."""
        ...

    def exp(self, coordinates: np.ndarray) -> Any:
        """Element of the identity's component: the exponential of Σ xᵢ Xᵢ."""
        ...

    def sample(self, *, generator: np.random.Generator | None = None) -> Any:
        """A random element, uniformly distributed."""
        ...

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """The relation that these matrices violate most, as text, and by how much."""
        ...

    def irreps_in(self, algebra: np.ndarray, generators: np.ndarray) -> Sequence[Irrep]:
        """Irreps among which are all that a representation with these matrices contains."""
        ...
