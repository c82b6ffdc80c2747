"""Finite groups from permutations, matrices, Cayley tables and direct products, and their elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import matmul
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable
from isospan._core.matrices import stack_matrices
from isospan.errors import GroupError, GroupMismatchError
from isospan.groups._cayley import (
    CayleyGraph,
    coset_images,
    permutation_matrices,
    product_graph,
    read_cayley_table,
    subgroup_graph,
)
from isospan.groups._closure import CLOSE, close_matrices, close_permutations
from isospan.groups._element import Element, check_generators
from isospan.groups._finite_irreps import real_irreps
from isospan.groups._outer_products import finite_product_irreps
from isospan.groups._words import runs, word_text
from isospan.representations import Irrep, Representation, WordTree


class GroupElement(Element["FiniteGroup"]):
    """Element of a finite group: the group and the index of the element.

    ``g @ h`` or ``g * h`` is the product, ``~g`` the inverse, ``g**n`` a power.

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> r, s = DihedralGroup(4).generators
        >>> s @ r @ s == ~r, r**4, r @ s
        (True, e, r s)
    """

    index: int

    def __init__(self, group: FiniteGroup, index: int) -> None:
        self._set(group=group, index=int(index))

    @property
    def value(self) -> Any:
        """The permutation, matrix or label that the group was built from; None for abstract groups."""
        values = self.group.values
        return None if values is None else values[self.index]

    def order(self) -> int:
        """Return the least n >= 1 for which gⁿ is the identity."""
        n, product = 1, self
        while product.index != self.group.graph.root:
            n, product = n + 1, product @ self
        return n

    def _times(self, other: GroupElement) -> GroupElement:
        return GroupElement(self.group, self.group.graph.product(self.index, other.index))

    def __invert__(self) -> GroupElement:
        return GroupElement(self.group, int(self.group.graph.inverses[self.index]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupElement) and self.index == other.index and self.group == other.group

    def __hash__(self) -> int:
        return hash((self.group, self.index))

    def __repr__(self) -> str:
        return self.group.text(self.index)


class FiniteGroup(Immutable):
    """A finite group, given by its Cayley graph: element x times generator j is element ``right[j, x]``.

    Build one with :meth:`from_permutations`, :meth:`from_matrices` or :meth:`from_cayley_table`. Groups are equal if
    they have the same Cayley graph; names do not count. Direct products must also have equal factors, which determine
    their irreps. Subgroups must also be embedded in the same way in equal groups.

    Args:
        right: indices (k, order) of the products with the generators.
        root: index of the identity.
        name: name in messages.
        generator_names: names of the generators; by default a, b, ...
        values: permutations, matrices or labels of the elements (order, ...).
        factors: factors of a direct product.
        embedding: the group that this is a subgroup of, and the generators as its elements.

    Raises:
        GroupError: a row is not a permutation, or the generators do not reach every element.

    Example:
        >>> G = FiniteGroup.from_permutations([[1, 2, 0, 3], [1, 0, 2, 3]])
        >>> G.order(), G.elements
        (6, (e, (0 1 2), (0 1), (0 2 1), (0 2), (1 2)))
        >>> [irrep.size for irrep in G.irreps()]
        [1, 1, 2]
    """

    name: str
    graph: CayleyGraph
    generator_names: tuple[str, ...]
    values: np.ndarray | None
    factors: tuple[FiniteGroup, ...]
    parent: Any
    embedded_generators: tuple[Any, ...]
    _transient = frozenset({"_irreps", "elements", "trivial_representation", "regular_representation"})

    def __init__(
        self,
        right: Any,
        *,
        root: int = 0,
        name: str | None = None,
        generator_names: Sequence[str] | None = None,
        values: np.ndarray | None = None,
        factors: Sequence[FiniteGroup] = (),
        embedding: tuple[Any, Sequence[Any]] = (None, ()),
    ) -> None:
        graph = CayleyGraph(right, root)
        names = tuple(generator_names or (chr(ord("a") + j) for j in range(len(graph.right))))
        values = None if values is None else np.array(values)
        self._set(name=name or f"FiniteGroup(order={graph.order})", graph=graph, generator_names=names, values=values)
        self._set(factors=tuple(factors), parent=embedding[0], embedded_generators=tuple(embedding[1]))

    @classmethod
    def from_permutations(cls, generators: Sequence[Any], *, name: str | None = None) -> FiniteGroup:
        """Return the group that permutations generate, each a row of the images of 0, 1, ..., n - 1.

        The product ``x @ y`` applies y first. Elements print as cycles, ``g.value`` is the row.

        Raises:
            GroupError: there is no row, one is not a permutation, or the group has more than 25,000 elements.

        Example:
            >>> FiniteGroup.from_permutations([[1, 2, 3, 4, 0]]).order()
            5
        """
        values, right = close_permutations(generators)
        return FiniteGroup(right, name=name, values=values)

    @classmethod
    def from_matrices(cls, generators: Sequence[Any], *, name: str | None = None) -> FiniteGroup:
        """Return the group that invertible matrices (d, d) generate; matrices that differ by rounding are one element.

        Elements print as words in the generators a, b, ..., ``g.value`` is the matrix.

        Raises:
            GroupError: there is no matrix, one is singular, or the group is infinite or has more than 25,000 elements.
            ShapeError: the matrices are not square, or not of one size.
            DtypeError: a matrix is complex.
            NonFiniteError: a matrix contains NaN or infinity.

        Example:
            >>> FiniteGroup.from_matrices([[[0, -1], [1, 0]], [[1, 0], [0, -1]]]).order()
            8
        """
        labels = [f"generator {number}" for number in range(len(generators))]
        values, right = close_matrices(stack_matrices(generators, labels=labels) if len(generators) else [])
        return FiniteGroup(right, name=name, values=values)

    @classmethod
    def from_cayley_table(cls, table: Any, *, name: str | None = None) -> FiniteGroup:
        """Return the group of a multiplication table: element x times element y is element ``table[x, y]``.

        The elements keep their indices; the identity may be any of them.

        Raises:
            GroupError: the array is not a square one of integers from 0 to n - 1, there is no identity, an element has
                no inverse, or the product is not associative.

        Example:
            >>> FiniteGroup.from_cayley_table([[0, 1, 2], [1, 2, 0], [2, 0, 1]]).elements
            (e, 1, 2)
        """
        table, root, generators = read_cayley_table(table)
        names, labels = [str(g) for g in generators], np.arange(len(table))
        return FiniteGroup(table.T[generators], root=root, name=name, generator_names=names, values=labels)

    def order(self) -> int:
        """Number of elements."""
        return self.graph.order

    @property
    def tree(self) -> WordTree:
        """Words of all elements."""
        return self.graph.tree

    @property
    def algebra_dim(self) -> int:
        """0: a finite group has no Lie algebra."""
        return 0

    @property
    def identity(self) -> GroupElement:
        """The neutral element."""
        return GroupElement(self, self.graph.root)

    @property
    def generators(self) -> tuple[GroupElement, ...]:
        """Elements whose products are all elements."""
        return tuple(GroupElement(self, x) for x in self.graph.right[:, self.graph.root])

    @cached_property
    def elements(self) -> tuple[GroupElement, ...]:
        """All elements, by index."""
        return tuple(GroupElement(self, x) for x in range(self.order()))

    @property
    def conjugacy_classes(self) -> tuple[tuple[GroupElement, ...], ...]:
        """The conjugacy classes, in the order of their first elements."""
        return tuple(tuple(GroupElement(self, x) for x in members) for members in self.graph.classes)

    @property
    def table(self) -> np.ndarray:
        """Multiplication table (order, order): the index of element x times element y at [x, y]."""
        return self.graph.columns.T

    def sample(self, *, generator: np.random.Generator | None = None) -> GroupElement:
        """Return a random element from the uniform distribution."""
        generator = np.random.default_rng() if generator is None else generator
        return GroupElement(self, int(generator.integers(self.order())))

    def element(self, value: Any) -> GroupElement:
        """Return the element with this value: a permutation, matrix or label, as the group was built from.

        Raises:
            GroupError: no element has this value.
        """
        value = np.asarray(value)
        if self.values is not None and value.shape == self.values.shape[1:]:
            distances = abs(self.values - value).reshape(self.order(), -1).max(1)
            if distances.min() < CLOSE:
                return GroupElement(self, int(distances.argmin()))
        raise GroupError(f"{self.name} has no element {value.tolist()}. See group.elements.")

    def irreps(self) -> tuple[Irrep, ...]:
        """Return all irreps over the real numbers: trivial first, then by dimension, then by character.

        Raises:
            GroupError: rounding does not allow to separate them.
        """
        return self._irreps

    @cached_property
    def _irreps(self) -> tuple[Irrep, ...]:
        if self.factors:
            outer = finite_product_irreps(self.graph, [factor.irreps() for factor in self.factors])
            found = [(irrep.generators, irrep.endomorphism_basis) for irrep in outer]
        else:
            found = real_irreps(self.graph, name=self.name)
        none = [np.empty((0, *matrices.shape[1:])) for matrices, _ in found]
        return tuple(
            Irrep(self, algebra=a, generators=matrices, endomorphism_basis=E, key=(i,), name=f"psi_{i}")
            for i, (a, (matrices, E)) in enumerate(zip(none, found, strict=True))
        )

    def irrep(self, index: int) -> Irrep:
        """Return the irrep at this index of :meth:`irreps`.

        Raises:
            GroupError: the index is negative, or not below the number of irreps.
        """
        if not 0 <= index < len(self.irreps()):
            raise GroupError(f"{self.name} has the irreps 0 to {len(self.irreps()) - 1}, got {index}.")
        return self.irreps()[index]

    @cached_property
    def trivial_representation(self) -> Irrep:
        """The irrep in which every element is 1."""
        one, none = np.ones((1, 1, 1)), np.empty((0, 1, 1))
        generators = np.ones((len(self.generator_names), 1, 1))
        return Irrep(self, algebra=none, generators=generators, endomorphism_basis=one, key=(0,), name="psi_0")

    @cached_property
    def regular_representation(self) -> Representation:
        """The regular representation: the permutation of the elements e_x to e_gx."""
        return Representation(self, permutation_matrices(self.graph.left), name="regular")

    def quotient_representation(self, subgroup: FiniteGroup) -> Representation:
        """Return the permutation representation on the cosets xH of a subgroup H, in the order of their first elements.

        Raises:
            GroupMismatchError: it is not a subgroup of this group; see :meth:`subgroup`.

        Example:
            >>> from isospan.groups import OctahedralGroup
            >>> G = OctahedralGroup()
            >>> G.quotient_representation(G.subgroup([G.generators[0]])).size
            8
        """
        if getattr(subgroup, "parent", None) != self:
            raise GroupMismatchError(f"A subgroup of {self.name} is needed, got {subgroup!r}. See group.subgroup.")
        images = coset_images(self.graph, [g.index for g in subgroup.embedded_generators])
        return Representation(self, permutation_matrices(images), name=f"cosets of {subgroup.name}")

    def subgroup(self, generators: Sequence[GroupElement], *, name: str | None = None) -> FiniteGroup:
        """Return the subgroup H that elements generate; ``H.embed(h)`` is the element of this group that equals h.

        Raises:
            GroupError: there is no element, or it is not a sequence.
            GroupMismatchError: an element is of another group.

        Example:
            >>> from isospan.groups import DihedralGroup
            >>> G = DihedralGroup(6)
            >>> G.subgroup([G.generators[0] ** 2])
            <r^2> in DihedralGroup(6)
        """
        check_generators(self, generators)
        right, inclusion = subgroup_graph(self.graph, [g.index for g in generators])
        names = [self.text(g.index).replace(" ", "") for g in generators]
        return FiniteGroup(
            right,
            name=name or f"<{', '.join(names)}> in {self.name}",
            generator_names=names,
            values=None if self.values is None else self.values[inclusion],
            embedding=(self, generators),
        )

    def embed(self, element: GroupElement) -> Any:
        """Return an element of this subgroup as an element of the group that contains it.

        Raises:
            GroupError: this group was not built as a subgroup.
            GroupMismatchError: the element is of another group.
        """
        if self.parent is None:
            raise GroupError(f"{self.name} was not made as a subgroup. See group.subgroup.")
        if getattr(element, "group", None) != self:
            raise GroupMismatchError(
                f"Elements of {self.name} are embedded in {self.parent.name}, got {element!r}. See its elements."
            )
        letters = [self.embedded_generators[j] for j in self.tree.word(element.index)]
        return reduce(matmul, letters, self.parent.identity)

    def text(self, x: int) -> str:
        """Return the text of the element at an index: cycles of a permutation, a label, or a word in the generators."""
        if x == self.graph.root:
            return "e"
        if self.values is None or not np.issubdtype(self.values.dtype, np.integer):
            return word_text(self.tree.word(x), self.generator_names)
        return _cycles(self.values[x]) if self.values.ndim == 2 else str(self.values[x])

    def factor(self, element: GroupElement) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Return no coordinates in a Lie algebra, and the element's word as (generator, exponent) pairs."""
        return np.empty(0), runs(self.tree.word(element.index))

    def exp(self, coordinates: Any) -> GroupElement:
        """Return the identity: a finite group has no Lie algebra."""
        return self.identity

    def irreps_in(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[Irrep, ...]:
        """Return all irreps."""
        return self.irreps()

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """Return the relation that matrices of the generators violate most, as text, and the violation."""
        return self.graph.worst_relation(generators, self.generator_names)

    def __mul__(self, other: Any) -> FiniteGroup:
        if not isinstance(other, FiniteGroup):
            return NotImplemented
        return DirectProductGroup(self, other)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, FiniteGroup) and self._definition == other._definition)

    def __hash__(self) -> int:
        return hash(self._definition)

    @property
    def _definition(self) -> tuple[Any, ...]:
        """What ``==`` compares. The factors determine the bases of irreps, the embedding determines restrictions."""
        return self.graph, self.factors, self.parent, self.embedded_generators

    def __repr__(self) -> str:
        return self.name


class DirectProductGroup(FiniteGroup):
    """The direct product of two or more finite groups, the same as ``G * H``; generators of the first come first.

    Its irreps come from those of the factors. A product with a Lie group is written ``G * SO3()``.

    Raises:
        GroupError: there is no factor, or one is not finite.

    Example:
        >>> from isospan.groups import CyclicGroup, DihedralGroup
        >>> G = DirectProductGroup(CyclicGroup(2), DihedralGroup(3))
        >>> G, G.order(), G.generators
        (CyclicGroup(2) * DihedralGroup(3), 12, (r1, r2, s2))
    """

    def __init__(self, *factors: FiniteGroup) -> None:
        if not all(isinstance(factor, FiniteGroup) for factor in factors):
            raise GroupError(
                f"A DirectProductGroup has finite factors, got {list(factors)}. Write "
                f"{' * '.join(str(factor) for factor in factors)}, which takes Lie groups too."
            )
        if not factors:
            raise GroupError("A product of groups needs at least one, got none.")
        prime = [factor for group in factors for factor in (group.factors or (group,))]
        right, root = product_graph([factor.graph for factor in prime])
        names = [name for factor in prime for name in factor.generator_names]
        if len(set(names)) < len(names):
            names = [f"{name}{i}" for i, factor in enumerate(prime, start=1) for name in factor.generator_names]
        name = " * ".join(factor.name for factor in prime)
        super().__init__(right, root=root, name=name, generator_names=names, factors=prime)


def _cycles(row: np.ndarray) -> str:
    """Return a permutation as disjoint cycles, without its fixed points: ``"(0 1 2)(3 4)"``."""
    seen, text = set(), ""
    for start in range(len(row)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(str(point))
            point = int(row[point])
        text += f"({' '.join(cycle)})" if len(cycle) > 1 else ""
    return text
