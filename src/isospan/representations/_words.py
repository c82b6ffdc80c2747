"""Words: every element of a finite group as a product of generators."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from isospan._core.immutable import Immutable


@dataclass(frozen=True, eq=False)
class WordTree(Immutable):
    """Spanning tree of the Cayley graph: element x is ``parent[x]`` times generator ``step[x]``.

    Attributes:
        root: index of the identity.
        parent: indices (order,); ``root`` at the root.
        step: indices of generators (order,); -1 at the root.
        layers: (generator, children, parents), parents before their children.
    """

    root: int
    parent: np.ndarray
    step: np.ndarray
    layers: tuple[tuple[int, np.ndarray, np.ndarray], ...]

    @property
    def depth(self) -> np.ndarray:
        """Length of every element's word, (order,)."""
        depth = np.zeros(len(self.parent), dtype=np.int64)
        for _, children, parents in self.layers:
            depth[children] = depth[parents] + 1
        return depth

    def __repr__(self) -> str:
        return f"WordTree(order={len(self.parent)})"

    def word(self, x: int) -> list[int]:
        """Indices of the generators whose product is element x, from left to right."""
        letters = []
        while x != self.root:
            letters.append(int(self.step[x]))
            x = int(self.parent[x])
        return letters[::-1]

    def evaluate(self, generators: np.ndarray) -> np.ndarray:
        """Matrices (order, n, n) of all elements from those of the generators (k, n, n)."""
        matrices = np.empty((len(self.parent), *generators.shape[1:]))
        matrices[self.root] = np.eye(generators.shape[-1])
        for j, children, parents in self.layers:
            matrices[children] = matrices[parents] @ generators[j]
        return matrices

    def pull_back(self, generators: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """ρ(x)ᵀ v for all elements x, (order, n, r), from the matrices of the generators only."""
        images = np.empty((len(self.parent), *vectors.shape))
        images[self.root] = vectors
        for j, children, parents in self.layers:
            images[children] = generators[j].T @ images[parents]
        return images


def word_tree(right: np.ndarray, root: int) -> WordTree | None:
    """Breadth-first tree of the Cayley graph, or None where the generators do not reach every element.

    Args:
        right: (k, order), the index of x times generator j at [j, x].
        root: index of the identity.
    """
    k, order = right.shape
    parent, step = np.full(order, root), np.full(order, -1)
    reached = np.zeros(order, dtype=bool)
    reached[root] = True
    frontier, layers = np.array([root]), []
    while len(frontier):
        products = right[:, frontier].T.ravel()
        by_product = np.argsort(products, kind="stable")
        first = np.sort(by_product[np.diff(products[by_product], prepend=-1) > 0])
        first = first[~reached[products[first]]]
        parents, steps = frontier[first // k], first % k
        frontier = right[steps, parents]
        reached[frontier], parent[frontier], step[frontier] = True, parents, steps
        layers += [(j, frontier[steps == j], parents[steps == j]) for j in sorted(set(steps.tolist()))]
    return WordTree(root, parent, step, tuple(layers)) if reached.all() else None


def runs(word: list[int]) -> list[tuple[int, int]]:
    """A word as (generator, exponent) pairs: [0, 0, 1] is [(0, 2), (1, 1)]."""
    return [(letter, len(list(same))) for letter, same in groupby(word)]


def word_text(word: list[int], names: Sequence[str]) -> str:
    """A word as text: ``"r^2 s"``; the empty word is ``"e"``."""
    return " ".join(names[j] if power == 1 else f"{names[j]}^{power}" for j, power in runs(word)) or "e"
