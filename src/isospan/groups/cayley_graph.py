"""The arithmetic of a finite group on the numbers of its elements."""

from functools import cached_property
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable, read_only
from isospan.errors import GroupError
from isospan.representations.words import WordTree, word_tree

LARGEST_TABLE = 10_000
"""Order up to which products are read from a table; words multiply beyond it."""


class CayleyGraph(Immutable):
    """What the generators do: element x times generator j is element ``right[j, x]``.

    Args:
        right: indices (k, order).
        root: index of the identity.

    Raises:
        GroupError: a row is not a permutation, or an element cannot be reached.
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
            raise GroupError("The generators must reach every element from the identity, and do not.")
        self._set(right=right, root=root, tree=tree)

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.right.shape[1]

    @cached_property
    def columns(self) -> np.ndarray:
        """The multiplication table by columns: xy at [y, x]. A row is one gather from that of its parent."""
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
        """Index of xy."""
        if self.order <= LARGEST_TABLE:
            return int(self.columns[y, x])
        for j in self.tree.word(y):
            x = int(self.right[j, x])
        return x

    def right_multiplication(self, y: int) -> np.ndarray:
        """Indices (order,) of xy for all x."""
        images = np.arange(self.order)
        for j in self.tree.word(y):
            images = self.right[j][images]
        return images

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, CayleyGraph) and self.root == other.root and np.array_equal(self.right, other.right)

    def __hash__(self) -> int:
        return hash((self.right.shape, self.right[:, :64].tobytes()))


def reached(moves: np.ndarray, start: int) -> np.ndarray:
    """Points that permutations (k, n) reach from one, in breadth-first order."""
    found = {start: None}
    frontier = [start]
    while frontier:
        frontier = [y for y in dict.fromkeys(moves[:, frontier].T.ravel().tolist()) if y not in found]
        found.update(dict.fromkeys(frontier))
    return np.array(list(found))


def orbit_labels(moves: np.ndarray) -> np.ndarray:
    """Number of the orbit of every point under permutations (k, n), in the order of their first points."""
    labels, count = np.full(moves.shape[1], -1), 0
    for start in range(len(labels)):
        if labels[start] < 0:
            labels[reached(moves, start)] = count
            count += 1
    return labels
