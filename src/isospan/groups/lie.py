"""Lie groups: rotations and reflections, and their products with each other and with finite groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable
from isospan.errors import GroupError, GroupMismatchError
from isospan.groups.closure import close_matrices
from isospan.groups.element import GroupElement
from isospan.groups.finite import FiniteGroup
from isospan.groups.lie_element import LieElement
from isospan.groups.lie_factors import LieFactor
from isospan.groups.lie_irreps import Factor, largest_weight, product_irreps_up_to
from isospan.groups.lie_relations import commuting_relations, factor_relations
from isospan.groups.subgroups import check_generators
from isospan.representations import Irrep
from isospan.representations.matrices import exponential


class LieGroup(Immutable):
    """A product of SO(2), O(2), SO(3), O(3) and finite groups; ``SO2()`` and ``SO2() * CyclicGroup(4)`` make one.

    The identity's component is the exponential of the Lie algebra. ``generators`` represent the other components: a
    reflection for each O(n), and the generators of the finite factors. Groups are equal if their factors are.

    Example:
        >>> from isospan.groups import SO3, CyclicGroup
        >>> G = SO3() * CyclicGroup(2)
        >>> G, G.order(), G.algebra_dim, G.generators
        (SO3() * CyclicGroup(2), None, 3, ((1, r),))
        >>> [irrep.size for irrep in G.irreps(max_frequency=1)]
        [1, 1, 3, 3]
    """

    name: str
    factors: tuple[Factor, ...]
    _transient = frozenset({"trivial_representation"})

    def __init__(self, factors: Sequence[Factor]) -> None:
        self._set(name=" * ".join(factor.name for factor in factors), factors=tuple(factors))

    def order(self) -> None:
        """None: the number of elements is infinite."""
        return

    @property
    def tree(self) -> None:
        """None: there are no words for all elements."""
        return

    @property
    def algebra_dim(self) -> int:
        """Dimension of the Lie algebra."""
        return sum(len(_algebra(factor)) for factor in self.factors)

    @property
    def identity(self) -> LieElement:
        """The neutral element."""
        return LieElement(self, tuple(_identity(factor) for factor in self.factors))

    @property
    def generators(self) -> tuple[LieElement, ...]:
        """Representatives of the components: reflections, and generators of finite factors."""
        neutral = self.identity.parts
        return tuple(
            LieElement(self, (*neutral[:i], part, *neutral[i + 1 :]))
            for i, factor in enumerate(self.factors)
            for part in (factor.reflections if isinstance(factor, LieFactor) else factor.generators)
        )

    @property
    def elements(self) -> Any:
        """There is no list of infinitely many elements.

        Raises:
            GroupError: always; see :meth:`sample`.
        """
        raise GroupError(f"{self.name} has infinitely many elements. Draw some with group.sample().")

    def sample(self, *, generator: np.random.Generator | None = None) -> LieElement:
        """A random element from the invariant (Haar) distribution."""
        generator = np.random.default_rng() if generator is None else generator
        return LieElement(self, tuple(factor.sample(generator=generator) for factor in self.factors))

    def element(self, *parts: Any) -> LieElement:
        """The element with these parts: a matrix for every SO(n) or O(n), an element for every finite factor.

        Raises:
            GroupError: a matrix is not in its group.
            GroupMismatchError: the parts are not as many as the factors, or an element is of another group.
        """
        if len(parts) != len(self.factors):
            raise GroupMismatchError(f"{self.name} has {len(self.factors)} factors, got {len(parts)} parts.")
        return LieElement(self, tuple(_checked(factor, part) for factor, part in zip(self.factors, parts, strict=True)))

    def exp(self, coordinates: Any) -> LieElement:
        """The exponential of Σ xᵢ Xᵢ, for coordinates (algebra_dim,): angles, or rotation vectors.

        Raises:
            GroupError: there are more or fewer coordinates.
        """
        x = np.asarray(coordinates, dtype=np.float64)
        if x.shape != (self.algebra_dim,):
            raise GroupError(f"An element of the Lie algebra has {self.algebra_dim} coordinates, got shape {x.shape}.")
        parts = list(self.identity.parts)
        for i, (factor, algebra, _) in enumerate(self._slices()):
            if isinstance(factor, LieFactor):
                parts[i] = exponential(np.tensordot(x[algebra], factor.algebra, axes=1))
        return LieElement(self, tuple(parts))

    def factor(self, element: LieElement) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Coordinates x and (generator, exponent) runs with g = exp(Σ xᵢ Xᵢ) times the product of the runs."""
        coordinates, runs = [], []
        for (factor, _, generators), part in zip(self._slices(), element.parts, strict=True):
            x, word = factor.split(part) if isinstance(factor, LieFactor) else factor.factor(part)
            coordinates.append(x)
            runs += [(generators.start + j, power) for j, power in word]
        return np.concatenate(coordinates), runs

    def irreps(self, max_frequency: int) -> tuple[Irrep, ...]:
        """All irreps over the real numbers up to a frequency, sorted by it; those of products by dimension.

        The key of an irrep of a product is its dimension, the keys of the factors' irreps one after another, and for
        every factor but the first the number of the irrep in the tensor product, 0 but for conjugates.

        Args:
            max_frequency: largest frequency k of SO(2) and O(2), or degree l of SO(3) and O(3), of every factor.

        Raises:
            GroupError: the frequency is negative.
        """
        if max_frequency < 0:
            raise GroupError(f"The largest frequency is at least 0, got {max_frequency}.")
        return self._irreps_up_to([max_frequency] * len(self.factors))

    def irrep(self, *key: int) -> Irrep:
        """The irrep with this key: (k,) of SO2, (k, 0) and (0, 1) of O2, (l,) of SO3, (l, parity) of O3.

        Zeros at the end may be left out. Irreps of products are picked from :meth:`irreps`.

        Raises:
            GroupError: there is none.

        Example:
            >>> from isospan.groups import O3
            >>> O3().irrep(1, 1)
            Irrep(l=1, odd, group=O3(), dimension=3, real)
        """
        for irrep in self.irreps(max(key[0], 0)) if key else ():
            if irrep.key[: len(key)] == key and not any(irrep.key[len(key) :]):
                return irrep
        raise GroupError(f"{self.name} has no irrep {key}. Its keys begin {[irrep.key for irrep in self.irreps(1)]}.")

    @cached_property
    def trivial_representation(self) -> Irrep:
        """The irrep in which every element is 1."""
        return self.irreps(0)[0]

    def irreps_in(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[Irrep, ...]:
        """Irreps up to the largest frequency, for each factor, that matrices of a representation contain."""
        return self._irreps_up_to(
            [largest_weight(algebra[at]) if at.stop > at.start else 0 for _, at, _ in self._slices()]
        )

    def _irreps_up_to(self, frequencies: Sequence[int]) -> tuple[Irrep, ...]:
        found = product_irreps_up_to(self.factors, frequencies)
        return tuple(Irrep(self, **vars(irrep)) for irrep in found)

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """The relation that these matrices violate most, as text, and by how much."""
        return max(self._relations(algebra, generators), key=lambda relation: relation[1])

    def _relations(self, algebra: np.ndarray, generators: np.ndarray) -> Iterator[tuple[str, float]]:
        slices = list(self._slices())
        for i, (factor, a, k) in enumerate(slices):
            if isinstance(factor, LieFactor):
                yield from factor_relations(
                    factor, algebra[a], generators[k], [f"X{n}" for n in range(a.start, a.stop)]
                )
            else:
                yield factor.worst_relation(algebra[a], generators[k])
            own = np.concatenate([algebra[a], generators[k]])
            for other, a2, k2 in slices[i + 1 :]:
                others = np.concatenate([algebra[a2], generators[k2]])
                yield from commuting_relations(own, others, factor.name, other.name)

    def _slices(self) -> Iterator[tuple[Factor, slice, slice]]:
        """Each factor with its place in the algebra and among the generators."""
        a = k = 0
        for factor in self.factors:
            da, dk = len(_algebra(factor)), _count_generators(factor)
            yield factor, slice(a, a + da), slice(k, k + dk)
            a, k = a + da, k + dk

    def subgroup(self, generators: Sequence[LieElement], *, name: str | None = None) -> FiniteGroup:
        """The finite subgroup that elements generate, so that representations restrict to it.

        Raises:
            GroupError: there is no element, or they generate too large a group.
            GroupMismatchError: an element is of another group.

        Example:
            >>> from isospan.groups import SO2
            >>> SO2().subgroup([SO2().exp([np.pi / 3])]).order()
            6
        """
        check_generators(self, generators)
        values, right = close_matrices([_faithful(g) for g in generators])
        name = name or f"FiniteGroup(order={len(values)}) in {self.name}"
        return FiniteGroup(right, name=name, values=values, embedding=(self, generators))

    def __mul__(self, other: Any) -> LieGroup:
        if not isinstance(other, LieGroup | FiniteGroup):
            return NotImplemented
        return LieGroup([*self.factors, *_as_factors(other)])

    def __rmul__(self, other: Any) -> LieGroup:
        if not isinstance(other, FiniteGroup):
            return NotImplemented
        return LieGroup([*_as_factors(other), *self.factors])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LieGroup) and self.factors == other.factors

    def __hash__(self) -> int:
        return hash(self.factors)

    def __repr__(self) -> str:
        return self.name


def _algebra(factor: Factor) -> np.ndarray:
    return factor.algebra if isinstance(factor, LieFactor) else np.empty((0, 1, 1))


def _identity(factor: Factor) -> Any:
    return np.eye(factor.algebra.shape[-1]) if isinstance(factor, LieFactor) else factor.identity


def _count_generators(factor: Factor) -> int:
    return len(factor.reflections) if isinstance(factor, LieFactor) else len(factor.generators)


def _as_factors(group: LieGroup | FiniteGroup) -> tuple[Factor, ...]:
    return group.factors if isinstance(group, LieGroup) else (group,)


def _checked(factor: Factor, part: Any) -> Any:
    if not isinstance(factor, LieFactor):
        if not isinstance(part, GroupElement) or part.group != factor:
            raise GroupMismatchError(f"Expected an element of {factor.name}, got {part!r}.")
        return part
    M, d = np.array(part, dtype=np.float64), factor.algebra.shape[-1]
    if M.shape != (d, d):
        raise GroupError(f"An element of {factor.name} is an orthogonal matrix ({d}, {d}), got one of shape {M.shape}.")
    defect = abs(M @ M.T - np.eye(d)).max()
    if not defect < 1e-8:
        raise GroupError(
            f"An element of {factor.name} is an orthogonal matrix ({d}, {d}), got a defect of M Mᵀ = 1 of "
            f"{defect:.3g}. Compute it in float64."
        )
    if np.linalg.det(M) < 0 and not len(factor.reflections):
        raise GroupError(f"An element of {factor.name} has determinant 1, got -1. Use O{d}() for reflections.")
    return M


def _faithful(element: LieElement) -> np.ndarray:
    """One matrix that tells elements apart: matrices and regular permutations on the diagonal."""
    blocks = [
        part if isinstance(part, np.ndarray) else part.group.regular_representation(part) for part in element.parts
    ]
    size = sum(len(block) for block in blocks)
    matrix, start = np.zeros((size, size)), 0
    for block in blocks:
        matrix[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return matrix
