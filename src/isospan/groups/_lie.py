"""Lie groups: SO(n), O(n) and their products with each other and with finite groups, and their elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable, read_only
from isospan.errors import GroupError, GroupMismatchError
from isospan.groups._closure import close_matrices
from isospan.groups._element import Element, check_generators
from isospan.groups._finite import FiniteGroup, GroupElement
from isospan.groups._lie_factors import SAME, LieFactor
from isospan.groups._outer_products import outer_irreps
from isospan.representations import Irrep

Factor = LieFactor | FiniteGroup


class LieElement(Element["LieGroup"]):
    """Element of a Lie group: an orthogonal matrix for every SO(n) or O(n), an element for every finite factor.

    ``g @ h`` or ``g * h`` is the product, ``~g`` the inverse, ``g**n`` a power; elements are equal up to rounding.

    Example:
        >>> from isospan.groups import SO2
        >>> g = SO2().exp([np.pi / 3])
        >>> g @ g @ g == SO2().exp([np.pi]), ~g == SO2().exp([-np.pi / 3])
        (True, True)
    """

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
            raise GroupMismatchError(
                f"An element of {self.group.name} has several parts, one for each of its {len(self.parts)} factors. "
                "Use g.parts."
            )
        return self.parts[0]

    def _times(self, other: LieElement) -> LieElement:
        return LieElement(self.group, tuple(a @ b for a, b in zip(self.parts, other.parts, strict=True)))

    def __invert__(self) -> LieElement:
        return LieElement(self.group, tuple(p.T if isinstance(p, np.ndarray) else ~p for p in self.parts))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LieElement) or other.group != self.group:
            return False
        pairs = zip(self.parts, other.parts, strict=True)
        return all(bool(abs(a - b).max() < SAME) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        return hash(self.group)

    def __repr__(self) -> str:
        texts = [_text(part) for part in self.parts]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _text(part: Any) -> str:
    if not isinstance(part, np.ndarray):
        return repr(part)
    return "1" if (part == np.eye(len(part))).all() else str((part.round(3) + 0.0).tolist())


class LieGroup(Immutable):
    """A product of SO(2), O(2), SO(3), O(3) and finite groups, such as ``SO2()`` and ``SO2() * CyclicGroup(4)``.

    The identity component is the exponential of the Lie algebra. ``generators`` reach the other components: they are a
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
        """Return None: the number of elements is infinite."""
        return

    @property
    def tree(self) -> None:
        """None: only a finite group has words for all elements."""
        return

    @property
    def algebra_dim(self) -> int:
        """Dimension of the Lie algebra."""
        return sum(factor.algebra_dim for factor in self.factors)

    @property
    def identity(self) -> LieElement:
        """The neutral element."""
        return LieElement(self, tuple(factor.identity for factor in self.factors))

    @property
    def generators(self) -> tuple[LieElement, ...]:
        """Generators of the components: reflections, and generators of finite factors."""
        neutral = self.identity.parts
        return tuple(
            LieElement(self, (*neutral[:i], part, *neutral[i + 1 :]))
            for i, factor in enumerate(self.factors)
            for part in factor.generators
        )

    @property
    def elements(self) -> Any:
        """The list of elements does not exist.

        Raises:
            GroupError: always; :meth:`sample` draws elements.
        """
        raise GroupError(f"{self.name} has infinitely many elements. Draw some with group.sample().")

    def sample(self, *, generator: np.random.Generator | None = None) -> LieElement:
        """Return a random element from the invariant (Haar) distribution."""
        generator = np.random.default_rng() if generator is None else generator
        return LieElement(self, tuple(factor.sample(generator=generator) for factor in self.factors))

    def element(self, *parts: Any) -> LieElement:
        """Return the element with these parts: a matrix for every SO(n) or O(n), an element for every finite factor.

        Raises:
            GroupError: a matrix is not in its group.
            GroupMismatchError: the number of parts differs from that of factors, or an element is of another group.
        """
        if len(parts) != len(self.factors):
            raise GroupMismatchError(f"{self.name} has {len(self.factors)} factors, got {len(parts)} parts.")
        return LieElement(self, tuple(_checked(factor, part) for factor, part in zip(self.factors, parts, strict=True)))

    def exp(self, coordinates: Any) -> LieElement:
        """Return the exponential of Σ xᵢ Xᵢ for coordinates (algebra_dim,), which are angles or rotation vectors.

        Raises:
            GroupError: there are not ``algebra_dim`` coordinates.
        """
        x = np.asarray(coordinates, dtype=np.float64)
        if x.shape != (self.algebra_dim,):
            raise GroupError(f"An element of the Lie algebra has {self.algebra_dim} coordinates, got shape {x.shape}.")
        return LieElement(self, tuple(factor.exp(x[algebra]) for factor, algebra, _ in self._slices()))

    def factor(self, element: LieElement) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Return coordinates x and (generator, exponent) pairs: g is exp(Σ xᵢ Xᵢ) times the product of these powers."""
        coordinates, runs = [], []
        for (factor, _, generators), part in zip(self._slices(), element.parts, strict=True):
            x, word = factor.factor(part)
            coordinates.append(x)
            runs += [(generators.start + j, power) for j, power in word]
        return np.concatenate(coordinates), runs

    def irreps(self, max_frequency: int) -> tuple[Irrep, ...]:
        """Return all irreps over the real numbers up to a frequency, sorted by it; irreps of products by dimension.

        The key of an irrep of a product consists of its dimension and the keys of the factors' irreps. The second and
        each further key is followed by the index of the irrep in the tensor product: 1 for a conjugate, otherwise 0.

        Args:
            max_frequency: largest frequency k of SO(2) and O(2), or degree l of SO(3) and O(3), of every factor.

        Raises:
            GroupError: the frequency is negative.
        """
        if max_frequency < 0:
            raise GroupError(f"The largest frequency is at least 0, got {max_frequency}.")
        return self._irreps_up_to([max_frequency] * len(self.factors))

    def irrep(self, *key: int) -> Irrep:
        """Return the irrep with this key: (k,) of SO2, (k, 0) and (0, 1) of O2, (l,) of SO3, (l, parity) of O3.

        Zeros at the end may be omitted. For irreps of products see :meth:`irreps`.

        Raises:
            GroupError: no irrep has this key.

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
        """Return the irreps up to the largest frequency of each factor in the matrices of a representation."""
        return self._irreps_up_to([_largest_frequency(algebra[a]) for _, a, _ in self._slices()])

    def _irreps_up_to(self, frequencies: Sequence[int]) -> tuple[Irrep, ...]:
        lists = [
            factor.irreps(most) if isinstance(factor, LieFactor) else factor.irreps()
            for factor, most in zip(self.factors, frequencies, strict=True)
        ]
        found: Sequence[Any] = outer_irreps(lists)
        if len(lists) > 1:
            keyed = [replace(irrep, key=(irrep.endomorphism_basis.shape[-1], *irrep.key)) for irrep in found]
            found = sorted(keyed, key=lambda irrep: irrep.key)
        return tuple(Irrep(self, **vars(irrep)) for irrep in found)

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """Return the relation that these matrices violate most, as text, and the violation."""
        return max(self._relations(algebra, generators), key=lambda relation: relation[1])

    def _relations(self, algebra: np.ndarray, generators: np.ndarray) -> Iterator[tuple[str, float]]:
        slices = list(self._slices())
        for i, (factor, a, k) in enumerate(slices):
            if isinstance(factor, LieFactor):
                yield from factor.relations(algebra[a], generators[k], [f"X{n}" for n in range(a.start, a.stop)])
            else:
                yield factor.worst_relation(algebra[a], generators[k])
            own = np.concatenate([algebra[a], generators[k]])
            for other, a2, k2 in slices[i + 1 :]:
                defect = _commuting(own, np.concatenate([algebra[a2], generators[k2]]))
                yield f"that {factor.name} commutes with {other.name}", defect

    def _slices(self) -> Iterator[tuple[Factor, slice, slice]]:
        """Yield each factor with its slices of the algebra and of the generators."""
        a = k = 0
        for factor in self.factors:
            da, dk = factor.algebra_dim, len(factor.generators)
            yield factor, slice(a, a + da), slice(k, k + dk)
            a, k = a + da, k + dk

    def subgroup(self, generators: Sequence[LieElement], *, name: str | None = None) -> FiniteGroup:
        """Return the finite subgroup that elements generate, to which representations restrict.

        Raises:
            GroupError: there is no element, or they generate a group of more than 25,000 elements.
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
        if not isinstance(other, (LieGroup, FiniteGroup)):
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


def _as_factors(group: LieGroup | FiniteGroup) -> tuple[Factor, ...]:
    return group.factors if isinstance(group, LieGroup) else (group,)


def _largest_frequency(algebra: np.ndarray) -> int:
    """Return the largest frequency of the last element of the matrices (a, n, n) of a Lie algebra; 0 if it has none."""
    return int(np.round(np.linalg.eigvalsh(-1j * algebra[-1])[-1])) if len(algebra) else 0


def _commuting(A: np.ndarray, B: np.ndarray) -> float:
    """Return the largest entry of the commutators of matrices (a, n, n) with others (b, n, n)."""
    commutators = A[:, None] @ B - B @ A[:, None]
    return float(abs(commutators).max(initial=0.0))


def _checked(factor: Factor, part: Any) -> Any:
    if isinstance(factor, LieFactor):
        return factor.element(part)
    if not isinstance(part, GroupElement) or part.group != factor:
        raise GroupMismatchError(f"Expected an element of {factor.name}, got {part!r}.")
    return part


def _faithful(element: LieElement) -> np.ndarray:
    """Return a faithful matrix of an element: block diagonal of its matrices and regular permutation matrices."""
    from scipy.linalg import block_diag

    blocks = [
        part if isinstance(part, np.ndarray) else part.group.regular_representation(part) for part in element.parts
    ]
    return np.asarray(block_diag(*blocks))
