"""The relations that matrices of a finite group's generators have to satisfy."""

from collections.abc import Sequence
from functools import reduce
from operator import matmul

import numpy as np
from numpy.random import default_rng

from isospan.groups.cayley_graph import CayleyGraph
from isospan.representations.words import runs, word_text


def worst_edge(graph: CayleyGraph, generators: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    """The relation that matrices of the generators violate most, as text, and by how much.

    Every edge x, xg of the Cayley graph outside the tree of words is a relation, and together they define the group.
    All are tested on random vectors, the worst one exactly.
    """
    tree = graph.tree
    vectors = default_rng(0).standard_normal((generators.shape[-1], 2))
    images, depth = tree.pull_back(generators, vectors), tree.depth
    edges = zip(generators, graph.right, strict=True)
    defects = np.stack([abs(M.T @ images - images[right]).max((1, 2)) for M, right in edges])
    j, x = min(np.argwhere(defects >= defects.max() / 2), key=lambda edge: depth[edge[1]])
    left, right = [*tree.word(x), int(j)], tree.word(int(graph.right[j, x]))
    defect = float(abs(_evaluate(left, generators) - _evaluate(right, generators)).max())
    return f"{word_text(left, names)} = {word_text(right, names)}", defect


def _evaluate(word: list[int], generators: np.ndarray) -> np.ndarray:
    powers = [np.linalg.matrix_power(generators[j], power) for j, power in runs(word)]
    return reduce(matmul, powers, np.eye(generators.shape[-1]))
