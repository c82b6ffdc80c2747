"""Blocks: coordinates that the group mixes, and the matrices that mix them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable
from isospan._core.matrices import ROUNDING, exponential, snapped
from isospan.representations._decomposition import Part, decompose
from isospan.representations._entries import Entries, neighbours
from isospan.representations._symmetry import SymmetryGroup


class Action(Immutable):
    """The matrices of one block, decomposed once for all copies.

    Attributes:
        group: the group that acts.
        algebra: (a, n, n), antisymmetric; a = 0 for finite groups.
        generators: (k, n, n), orthogonal; exact where they permute the coordinates up to sign.
    """

    group: SymmetryGroup
    algebra: np.ndarray
    generators: np.ndarray

    def __init__(self, group: SymmetryGroup, algebra: np.ndarray, generators: np.ndarray) -> None:
        self._set(group=group, algebra=snapped(algebra), generators=snapped(generators))

    @property
    def size(self) -> int:
        """Number of coordinates n."""
        return self.generators.shape[-1] if len(self.generators) else self.algebra.shape[-1]

    @cached_property
    def key(self) -> tuple[int, bytes, bytes]:
        """A key that is the same for two actions of one group that are equal to rounding.

        It differs only if an entry is at the edge of two cells of width 1e-9.
        """
        algebra, generators = (np.round(matrices / ROUNDING) + 0.0 for matrices in (self.algebra, self.generators))
        return self.size, algebra.tobytes(), generators.tobytes()

    @cached_property
    def decomposition(self) -> tuple[np.ndarray, tuple[Part[Any], ...]]:
        """Orthogonal basis (n, n), whose columns are vectors, and the irreps of its columns."""
        return decompose(self.group, self.algebra, self.generators)

    @property
    def basis(self) -> np.ndarray:
        """The irrep basis (n, n): the columns of :attr:`decomposition`."""
        return self.decomposition[0]

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """Irreps of :attr:`decomposition`, each with its multiplicity and columns."""
        return self.decomposition[1]

    @cached_property
    def is_permutation(self) -> bool:
        """Whether every generator permutes the coordinates."""
        binary = ((self.generators == 0) | (self.generators == 1)).all()
        return not self.algebra.any() and bool(binary)

    def __repr__(self) -> str:
        return f"Action(group={self.group.name}, size={self.size})"

    def __call__(self, element: Any) -> np.ndarray:
        """Return the matrix (n, n) of an element."""
        coordinates, runs = self.group.factor(element)
        matrix = np.eye(self.size)
        if len(coordinates):
            matrix = exponential(np.tensordot(coordinates, self.algebra, axes=1))
        for j, power in runs:
            matrix = matrix @ np.linalg.matrix_power(self.generators[j], power)
        return matrix


@dataclass(frozen=True, eq=False)
class Block(Immutable):
    """Copies of one action: the same matrices act on the coordinates ``indices[c]`` for every c.

    For data x (..., D), ``x[..., indices] @ basis`` has shape (..., copies, n): the coordinates of every copy in the
    irrep basis, in which the action is a direct sum of irreps. :attr:`parts` describes its columns.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> (block,) = (3 * CyclicGroup(4).regular_representation).blocks
        >>> block
        Block(multiplicity=3, size=4, group=CyclicGroup(4))
        >>> block.indices
        array([[ 0,  1,  2,  3],
               [ 4,  5,  6,  7],
               [ 8,  9, 10, 11]])
        >>> [(part.irrep.size, part.multiplicity, part.columns) for part in block.parts]
        [(1, 1, slice(0, 1, None)), (1, 1, slice(1, 2, None)), (2, 1, slice(2, 4, None))]
    """

    action: Action
    indices: np.ndarray

    @property
    def multiplicity(self) -> int:
        """Number of copies."""
        return self.indices.shape[0]

    @property
    def size(self) -> int:
        """Number of coordinates n of one copy."""
        return self.indices.shape[1]

    @property
    def basis(self) -> np.ndarray:
        """The irrep basis (n, n), orthogonal."""
        return self.action.basis

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """Irreps in one copy."""
        return self.action.parts

    def __repr__(self) -> str:
        return f"Block(multiplicity={self.multiplicity}, size={self.size}, group={self.action.group.name})"


def split(group: SymmetryGroup, algebra: Sequence[Entries], generators: Sequence[Entries]) -> tuple[Block, ...]:
    """Split coordinates into the connected components of the joint sparsity pattern; equal components share a block.

    Args:
        group: the group that acts.
        algebra: matrices (n, n) of the basis of the Lie algebra.
        generators: matrices (n, n) of the generators.
    """
    components = _components(neighbours([*generators, *algebra]))
    parts = zip(components, _within(algebra, components), _within(generators, components), strict=True)
    return merge([Block(Action(group, a, k), component[None]) for component, a, k in parts])


def _within(matrices: Sequence[Entries], components: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the entries between the coordinates of every component, (k, n, n)."""
    if not matrices:
        return [np.empty((0, len(component), len(component))) for component in components]
    return [np.stack(parts) for parts in zip(*(M.within(components) for M in matrices), strict=True)]


def _components(neighbours: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the components in the order of their first coordinates, each in the order in which generators reach them.

    If the generators permute coordinates up to sign, this order depends on the action only. So isomorphic orbits become
    equal blocks, however the user has numbered them. The matrices generate a compact group, so the columns alone reach
    the whole component.
    """
    size = len(neighbours)
    seen, components = np.zeros(size, dtype=bool), []
    for start in range(size):
        if seen[start]:
            continue
        seen[start], component = True, [start]
        for i in component:
            new = dict.fromkeys(neighbours[i][~seen[neighbours[i]]].tolist())
            seen[list(new)] = True
            component += new
        components.append(np.array(component))
    return components


def merge(blocks: list[Block]) -> tuple[Block, ...]:
    """Join blocks of equal actions, in the order of their first appearance."""
    groups: dict[tuple[int, bytes, bytes], list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.action.key, []).append(block)
    return tuple(Block(same[0].action, np.concatenate([b.indices for b in same])) for same in groups.values())
