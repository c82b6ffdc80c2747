"""The interface of a group that representations require."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from isospan.representations._words import WordTree


class SymmetryGroup(Protocol):
    """A compact group: its identity component is the exponential of a Lie algebra, generators reach the others.

    A finite group has no Lie algebra and a tree of words. A Lie group has a Lie algebra of dimension ``algebra_dim``,
    one generator for each component except that of the identity, and no tree.
    """

    @property
    def name(self) -> str:
        """The name in messages."""
        ...

    @property
    def generators(self) -> tuple[Any, ...]:
        """The generators; for a Lie group those outside the identity component."""
        ...

    @property
    def algebra_dim(self) -> int:
        """Dimension of the Lie algebra, 0 for a finite group."""
        ...

    @property
    def tree(self) -> WordTree | None:
        """Words of all elements; None for an infinite group."""
        ...

    @property
    def identity(self) -> Any:
        """The neutral element."""
        ...

    def order(self) -> int | None:
        """Return the number of elements; None for an infinite group."""
        ...

    def factor(self, element: Any) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Return coordinates x and (generator, exponent) pairs: g is exp(Σ xᵢ Xᵢ) times the product of these powers."""
        ...

    def exp(self, coordinates: np.ndarray) -> Any:
        """Return an element of the identity component: the exponential of Σ xᵢ Xᵢ."""
        ...

    def sample(self, *, generator: np.random.Generator | None = None) -> Any:
        """Return a random element from the invariant (Haar) distribution."""
        ...

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """Return the relation that these matrices violate most, as text, and the violation."""
        ...

    def irreps_in(self, algebra: np.ndarray, generators: np.ndarray) -> Sequence[Any]:
        """Return irreps that include all that a representation with these matrices contains."""
        ...
