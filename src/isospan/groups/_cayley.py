"""The arithmetic of a finite group on the indices of its elements: Cayley graph and table, subgroups, products."""

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import matmul
from typing import Any

import numpy as np
from numpy.random import default_rng

from isospan._core.immutable import Immutable, read_only
from isospan.errors import GroupError
from isospan.groups._words import runs, word_text, word_tree
from isospan.representations import WordTree

LARGEST_TABLE = 10_000
"""Order up to which products are read from a table; above it, words are multiplied."""


class CayleyGraph(Immutable):
    """The Cayley graph: element x times generator j is element ``right[j, x]``.

    Args:
        right: indices (k, order).
        root: index of the identity.

    Raises:
        GroupError: a row is not a permutation, or the generators do not reach every element.
    """

    right: np.ndarray
    root: int
    tree: WordTree
    _transient = frozenset({"columns", "inverses", "classes"})

    def __init__(self, right: Any, root: int = 0) -> None:
        right = np.array(right, dtype=np.int32)
        if right.ndim != 2 or not right.size or (np.sort(right, axis=1) != np.arange(right.shape[1])).any():
            raise GroupError(
                f"Each generator permutes the elements 0 to n - 1, but a row of the array {right.shape} does not."
            )
        tree = word_tree(right, root)
        if tree is None:
            raise GroupError(
                f"The generators must reach every element from the identity, got {len(right)} that reach only some of "
                f"{right.shape[1]}. Add generators."
            )
        self._set(right=right, root=root, tree=tree)

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.right.shape[1]

    @cached_property
    def columns(self) -> np.ndarray:
        """The multiplication table by columns: xy at [y, x]."""
        kind = np.int16 if self.order < 1 << 15 else np.int32
        columns, right = np.empty((self.order, self.order), dtype=kind), self.right.astype(kind)
        columns[self.root] = np.arange(self.order)
        for j, children, parents in self.tree.layers:
            columns[children] = right[j][columns[parents]]
        return read_only(columns)

    @cached_property
    def left(self) -> np.ndarray:
        """Indices (k, order) of the products generator j times x."""
        left = np.empty_like(self.right)
        left[:, self.root] = self.right[:, self.root]
        for j, children, parents in self.tree.layers:
            left[:, children] = self.right[j][left[:, parents]]
        return read_only(left)

    @cached_property
    def inverses(self) -> np.ndarray:
        """Index of every inverse: (xg)⁻¹ = g⁻¹ x⁻¹."""
        inverses = np.full(self.order, self.root)
        undo = np.argsort(self.left, axis=1)
        for j, children, parents in self.tree.layers:
            inverses[children] = undo[j][inverses[parents]]
        return read_only(inverses)

    @cached_property
    def classes(self) -> tuple[np.ndarray, ...]:
        """Indices of the elements of every conjugacy class, in the order of their first elements."""
        undo = np.argsort(self.left, axis=1)
        conjugations = np.take_along_axis(self.right, undo, axis=1)
        labels = orbit_labels(conjugations)
        return tuple(read_only(np.flatnonzero(labels == label)) for label in range(labels.max() + 1))

    def product(self, x: int, y: int) -> int:
        """Return the index of xy."""
        if self.order <= LARGEST_TABLE:
            return int(self.columns[y, x])
        for j in self.tree.word(y):
            x = int(self.right[j, x])
        return x

    def right_multiplication(self, y: int) -> np.ndarray:
        """Return the indices (order,) of xy for all x."""
        images = np.arange(self.order)
        for j in self.tree.word(y):
            images = self.right[j][images]
        return images

    def worst_relation(self, generators: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
        """Return the relation that matrices (k, n, n) of the generators violate most, as text, and the violation.

        Every edge x, xg of the Cayley graph outside the tree of words is a relation. These relations define the group.
        All are tested on random vectors, the worst one exactly.
        """
        vectors = default_rng(0).standard_normal((generators.shape[-1], 2))
        images, depth = self.tree.pull_back(generators, vectors), self.tree.depth
        edges = zip(generators, self.right, strict=True)
        defects = np.stack([abs(M.T @ images - images[right]).max((1, 2)) for M, right in edges])
        j, x = min(np.argwhere(defects >= defects.max() / 2), key=lambda edge: depth[edge[1]])
        left, right = [*self.tree.word(x), int(j)], self.tree.word(int(self.right[j, x]))
        defect = float(abs(evaluate_word(left, generators) - evaluate_word(right, generators)).max())
        return f"{word_text(left, names)} = {word_text(right, names)}", defect

    def __repr__(self) -> str:
        return f"CayleyGraph(order={self.order}, generators={len(self.right)})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, CayleyGraph) and self.root == other.root and np.array_equal(self.right, other.right)

    def __hash__(self) -> int:
        return hash((self.right.shape, self.right[:, :64].tobytes()))


def evaluate_word(word: list[int], generators: np.ndarray) -> np.ndarray:
    """Return the matrix (n, n) of a word in the generators (k, n, n)."""
    powers = [np.linalg.matrix_power(generators[j], power) for j, power in runs(word)]
    return reduce(matmul, powers, np.eye(generators.shape[-1]))


def reached(permutations: np.ndarray, start: int) -> np.ndarray:
    """Return the orbit of a point under permutations (k, n), in breadth-first order."""
    found = {start: None}
    frontier = [start]
    while frontier:
        frontier = [y for y in dict.fromkeys(permutations[:, frontier].T.ravel().tolist()) if y not in found]
        found.update(dict.fromkeys(frontier))
    return np.array(list(found))


def orbit_labels(permutations: np.ndarray) -> np.ndarray:
    """Return the orbit number of each point under permutations (k, n), in the order of first points."""
    labels, count = np.full(permutations.shape[1], -1), 0
    for start in range(len(labels)):
        if labels[start] < 0:
            labels[reached(permutations, start)] = count
            count += 1
    return labels


def subgroup_graph(graph: CayleyGraph, generators: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the products (k, m) with the generators of a subgroup, and the indices (m,) of its elements in the group.

    The elements of the subgroup are in breadth-first order.
    """
    right = np.stack([graph.right_multiplication(x) for x in generators])
    inclusion = reached(right, graph.root)
    position = np.empty(graph.order, dtype=np.int32)
    position[inclusion] = np.arange(len(inclusion))
    return position[right[:, inclusion]], inclusion


def coset_images(graph: CayleyGraph, subgroup: Sequence[int]) -> np.ndarray:
    """Return the images (k, cosets) of the cosets xH under the generators; elements generate the subgroup H."""
    cosets = orbit_labels(np.stack([graph.right_multiplication(x) for x in subgroup]))
    first = np.unique(cosets, return_index=True)[1]
    return cosets[graph.left[:, first]]


def product_graph(graphs: Sequence[CayleyGraph]) -> tuple[np.ndarray, int]:
    """Return the products (k, n) with the generators of a direct product, and its identity; (x, y) is x * order + y."""
    right, root = np.zeros((0, 1), dtype=np.int64), 0
    for graph in graphs:
        n, m = right.shape[1], graph.order
        first = (right[:, :, None] * m + np.arange(m)).reshape(-1, n * m)
        second = (np.arange(n)[:, None] * m + graph.right[:, None, :]).reshape(-1, n * m)
        right, root = np.concatenate([first, second]), root * m + graph.root
    return right, root


def permutation_matrices(images: np.ndarray) -> np.ndarray:
    """Return the matrices (k, n, n) that map e_x to e_images[x]."""
    k, n = images.shape
    matrices = np.zeros((k, n, n))
    matrices[np.arange(k)[:, None], images, np.arange(n)] = 1
    return matrices


def read_cayley_table(table: Any) -> tuple[np.ndarray, int, list[int]]:
    """Check that a table [x, y] = xy is that of a group.

    Returns:
        The table (n, n), the index of the identity and a list of generators.

    Raises:
        GroupError: the array is not a square one of integers from 0 to n - 1, there is no identity, an element has no
            inverse, or the product is not associative.

    Source: associativity by Light's test, on generators only; Clifford and Preston, The Algebraic Theory of
    Semigroups, 1961, section 1.2.
    """
    try:
        table = np.asarray(table)
    except ValueError as error:
        raise GroupError(f"A Cayley table is a square array of whole numbers, got uneven rows: {error}.") from error
    n = len(table) if table.ndim else 0
    if table.shape != (n, n) or not n or not np.issubdtype(table.dtype, np.integer):
        raise GroupError(f"A Cayley table is a square array of whole numbers, got shape {table.shape}, {table.dtype}.")
    if table.min() < 0 or table.max() >= n:
        raise GroupError(f"A Cayley table of {n} elements holds 0 to {n - 1}, got {table.min()} to {table.max()}.")
    root = _identity(table)
    _check_inverses(table, root)
    generators = _generating_set(table, root)
    for g in generators:
        left, right = table[table[:, g]], table[:, table[g]]
        if not np.array_equal(left, right):
            x, y = (int(i) for i in np.argwhere(left != right)[0])
            raise GroupError(
                f"A group is associative, but here ({x} {g}) {y} = {left[x, y]} and {x} ({g} {y}) = {right[x, y]}."
            )
    return table, root, generators


def _identity(table: np.ndarray) -> int:
    indices = np.arange(len(table))
    both = (table == indices).all(1) & (table.T == indices).all(1)
    if not both.any():
        raise GroupError("A group has an identity, but no row and column of the table repeats 0 to n - 1 in order.")
    return int(both.argmax())


def _check_inverses(table: np.ndarray, root: int) -> None:
    lacking = np.flatnonzero(((table == root).sum(1) != 1) | ((table == root).sum(0) != 1))
    if len(lacking):
        raise GroupError(
            f"Every element of a group has one inverse, but the identity {root} is not exactly once in the row and "
            f"the column of {lacking[:5].tolist()}."
        )


def _generating_set(table: np.ndarray, root: int) -> list[int]:
    """Return the elements that earlier ones do not generate, in their order."""
    generators: list[int] = []
    known = np.arange(len(table)) == root
    for g in range(len(table)):
        if not known[g]:
            generators.append(g)
            known[reached(table.T[generators], root)] = True
    return generators or [root]
