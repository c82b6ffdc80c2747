"""Words: every element of a finite group as a product of generators."""

from dataclasses import dataclass

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

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> tree = DihedralGroup(3).tree
        >>> tree, tree.word(5)
        (WordTree(order=6), [1, 0])
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
        """Return the indices of the generators whose product is element x, from left to right."""
        letters = []
        while x != self.root:
            letters.append(int(self.step[x]))
            x = int(self.parent[x])
        return letters[::-1]

    def evaluate(self, generators: np.ndarray) -> np.ndarray:
        """Return the matrices ρ(x) (order, n, n) of all elements from those of the generators (k, n, n)."""
        return self.pull_back(generators, np.eye(generators.shape[-1])).transpose(0, 2, 1)

    def pull_back(self, generators: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return ρ(x)ᵀ v (order, n, r) for all elements x, from the matrices of the generators and vectors (n, r)."""
        images = np.empty((len(self.parent), *vectors.shape))
        images[self.root] = vectors
        for j, children, parents in self.layers:
            images[children] = generators[j].T @ images[parents]
        return images
