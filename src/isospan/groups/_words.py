"""Words: products of generators, found by breadth-first search, and their text."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from isospan.representations import WordTree


def word_tree(right: np.ndarray, root: int) -> WordTree | None:
    """Return a breadth-first tree of the Cayley graph, or None if the generators do not reach every element.

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
    """Return a word as (generator, exponent) pairs: [0, 0, 1] is [(0, 2), (1, 1)]."""
    return [(letter, len(list(same))) for letter, same in groupby(word)]


def word_text(word: list[int], names: Sequence[str]) -> str:
    """Return a word as text: ``"r^2 s"``; the empty word is ``"e"``."""
    return " ".join(names[j] if power == 1 else f"{names[j]}^{power}" for j, power in runs(word)) or "e"
