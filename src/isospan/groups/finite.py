"""Finite groups, whatever they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import matmul
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable
from isospan.errors import GroupError, GroupMismatchError
from isospan.groups._text import element_text
from isospan.groups.cayley_graph import CayleyGraph
from isospan.groups.cayley_table import read_cayley_table
from isospan.groups.closure import CLOSE, close_matrices, close_permutations
from isospan.groups.element import GroupElement
from isospan.groups.finite_irreps import real_irreps
from isospan.groups.finite_relations import worst_edge
from isospan.groups.outer_products import product_fields, product_irreps
from isospan.groups.subgroups import coset_images, subgroup_fields
from isospan.representations import Irrep, Representation
from isospan.representations.irrep import trivial
from isospan.representations.matrices import stack_matrices
from isospan.representations.words import WordTree, runs, word_text


class FiniteGroup(Immutable):
    """A finite group, given by what its generators do: element x times generator j is element ``right[j, x]``.

    :meth:`from_permutations`, :meth:`from_matrices` and :meth:`from_cayley_table` make one from what is at hand.
    Groups are equal if their generators multiply their elements in the same way, whatever these are called; products
    only to those of equal factors, from which their irreps come, and subgroups only to equal ones of one group.

    Args:
        right: indices (k, order) of the products with the generators.
        root: index of the identity.
        name: what to call it.
        generator_names: what to call the generators; a, b, ... where None.
        values: what the elements are, (order, ...): permutations, matrices or labels.
        factors: the groups it is a direct product of, where it is one.
        embedding: a group of which it is a subgroup, and the generators as elements of that.

    Raises:
        GroupError: the rows are not permutations, or do not reach every element from the identity.

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
        """The group that permutations generate, each a row of the images of 0, 1, ..., n - 1.

        The product ``x @ y`` applies y first. Elements print as cycles, ``g.value`` is the row.

        Raises:
            GroupError: a row is not a permutation, or their group is too large.

        Example:
            >>> FiniteGroup.from_permutations([[1, 2, 3, 4, 0]]).order()
            5
        """
        values, right = close_permutations(generators)
        return FiniteGroup(right, name=name, values=values)

    @classmethod
    def from_matrices(cls, generators: Sequence[Any], *, name: str | None = None) -> FiniteGroup:
        """The group that invertible matrices (d, d) generate; they are told apart up to rounding.

        Elements print as words in the generators a, b, ..., ``g.value`` is the matrix.

        Raises:
            GroupError: a matrix is singular, or the group is infinite or too large.

        Example:
            >>> FiniteGroup.from_matrices([[[0, -1], [1, 0]], [[1, 0], [0, -1]]]).order()
            8
        """
        labels = [f"generator {number}" for number in range(len(generators))]
        values, right = close_matrices(stack_matrices(generators, labels=labels) if len(generators) else [])
        return FiniteGroup(right, name=name, values=values)

    @classmethod
    def from_cayley_table(cls, table: Any, *, name: str | None = None) -> FiniteGroup:
        """The group of a multiplication table: element x times element y is element ``table[x, y]``.

        The elements keep their numbers; the identity may be any of them.

        Raises:
            GroupError: the table is not that of a group; the message names what fails.

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
        """0: there is no Lie algebra."""
        return 0

    @property
    def identity(self) -> GroupElement:
        """The neutral element."""
        return GroupElement(self, self.graph.root)

    @property
    def generators(self) -> tuple[GroupElement, ...]:
        """Elements of which every element is a product."""
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
        """A random element, each with the same probability."""
        generator = np.random.default_rng() if generator is None else generator
        return GroupElement(self, int(generator.integers(self.order())))

    def element(self, value: Any) -> GroupElement:
        """The element with this value: a permutation, matrix or label, as the group was built from.

        Raises:
            GroupError: there is none.
        """
        value = np.asarray(value)
        if self.values is not None and value.shape == self.values.shape[1:]:
            distances = abs(self.values - value).reshape(self.order(), -1).max(1)
            if distances.min() < CLOSE:
                return GroupElement(self, int(distances.argmin()))
        raise GroupError(f"{self.name} has no element {value.tolist()}. See group.elements.")

    def irreps(self) -> tuple[Irrep, ...]:
        """All irreps over the real numbers: trivial first, then by dimension, then by character.

        Raises:
            GroupError: they could not be told apart numerically.
        """
        return self._irreps

    @cached_property
    def _irreps(self) -> tuple[Irrep, ...]:
        found = product_irreps(self) if self.factors else real_irreps(self.graph, name=self.name)
        return tuple(
            Irrep(
                self,
                algebra=np.empty((0, *matrices.shape[1:])),
                generators=matrices,
                endomorphism_basis=endomorphisms,
                key=(i,),
                name=f"psi_{i}",
            )
            for i, (matrices, endomorphisms) in enumerate(found)
        )

    def irrep(self, number: int) -> Irrep:
        """The irrep with this number in the list of :meth:`irreps`.

        Raises:
            GroupError: the group has fewer.
        """
        if not 0 <= number < len(self.irreps()):
            raise GroupError(f"{self.name} has the irreps 0 to {len(self.irreps()) - 1}, got {number}.")
        return self.irreps()[number]

    @cached_property
    def trivial_representation(self) -> Irrep:
        """The irrep in which every element is 1."""
        return trivial(self, key=(0,), name="psi_0")

    @cached_property
    def regular_representation(self) -> Representation:
        """How the group permutes its elements: e_x to e_gx."""
        return Representation(self, _permutation_matrices(self.graph.left), name="regular")

    def quotient_representation(self, subgroup: FiniteGroup) -> Representation:
        """How the group permutes the cosets xH of a subgroup H, which are numbered by their first element.

        Raises:
            GroupMismatchError: the subgroup is not one of this group; see :meth:`subgroup`.

        Example:
            >>> from isospan.groups import OctahedralGroup
            >>> G = OctahedralGroup()
            >>> G.quotient_representation(G.subgroup([G.generators[0]])).size
            8
        """
        if getattr(subgroup, "parent", None) != self:
            raise GroupMismatchError(f"A subgroup of {self.name} is needed, got {subgroup!r}. See group.subgroup.")
        images = coset_images(self.graph, [g.index for g in subgroup.embedded_generators])
        return Representation(self, _permutation_matrices(images), name=f"cosets of {subgroup.name}")

    def subgroup(self, generators: Sequence[GroupElement], *, name: str | None = None) -> FiniteGroup:
        """The subgroup that elements of this group generate; ``H.embed(h)`` is its element h as one of this group.

        Raises:
            GroupError: there is no element.
            GroupMismatchError: an element is of another group.

        Example:
            >>> from isospan.groups import DihedralGroup
            >>> G = DihedralGroup(6)
            >>> G.subgroup([G.generators[0] ** 2])
            <r^2> in DihedralGroup(6)
        """
        return FiniteGroup(**subgroup_fields(self, generators, name))

    def embed(self, element: GroupElement) -> Any:
        """The element of a subgroup as one of the group it was made from.

        Raises:
            GroupError: this group was not made as a subgroup.
            GroupMismatchError: the element is of another group.
        """
        if self.parent is None:
            raise GroupError(f"{self.name} was not made as a subgroup. See group.subgroup.")
        if getattr(element, "group", None) != self:
            raise GroupMismatchError(
                f"Elements of {self.name} have a place in {self.parent.name}, got {element!r}. See its elements."
            )
        letters = [self.embedded_generators[j] for j in self.tree.word(element.index)]
        return reduce(matmul, letters, self.parent.identity)

    def text(self, x: int) -> str:
        """How an element is printed: as cycles, a label, or a word in the generators."""
        if x == self.graph.root:
            return "e"
        value = None if self.values is None else self.values[x]
        return element_text(value) or word_text(self.tree.word(x), self.generator_names)

    def factor(self, element: GroupElement) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """No algebra, and the element's word as (generator, exponent) pairs."""
        return np.empty(0), runs(self.tree.word(element.index))

    def exp(self, coordinates: Any) -> GroupElement:
        """The identity: a finite group has no Lie algebra."""
        return self.identity

    def irreps_in(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[Irrep, ...]:
        """All irreps."""
        return self.irreps()

    def worst_relation(self, algebra: np.ndarray, generators: np.ndarray) -> tuple[str, float]:
        """The relation that matrices of the generators violate most, as text, and by how much."""
        return worst_edge(self.graph, generators, self.generator_names)

    def __mul__(self, other: Any) -> FiniteGroup:
        if not isinstance(other, FiniteGroup):
            return NotImplemented
        return FiniteGroup(**product_fields([self, other]))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, FiniteGroup) and self._definition == other._definition)

    def __hash__(self) -> int:
        return hash(self._definition)

    @property
    def _definition(self) -> tuple[Any, ...]:
        """What equal groups share: a product has other bases of irreps, a subgroup another place in its parent."""
        return self.graph, self.factors, self.parent, self.embedded_generators

    def __repr__(self) -> str:
        return self.name


def _permutation_matrices(images: np.ndarray) -> np.ndarray:
    """Matrices (k, n, n) that send e_x to e_images[x]."""
    k, n = images.shape
    matrices = np.zeros((k, n, n))
    matrices[np.arange(k)[:, None], images, np.arange(n)] = 1
    return matrices
