"""Sparse matrices by their entries: Kronecker products of permutations have few that are not zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isospan._core.matrices import ROUNDING


@dataclass(frozen=True, eq=False)
class Entries:
    """A square matrix: ``values[k]`` at ``rows[k]`` and ``columns[k]``, in any order, and zero elsewhere.

    Example:
        >>> swap = Entries.of(np.array([[0.0, 1], [1, 0]]))
        >>> swap.kron(Entries.of(np.eye(2))).columns
        array([2, 3, 0, 1])
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    size: int

    @classmethod
    def of(cls, matrix: np.ndarray) -> Entries:
        """Return the entries of a dense matrix (n, n)."""
        rows, columns = np.nonzero(matrix)
        return cls(rows, columns, matrix[rows, columns], len(matrix))

    @classmethod
    def summed(cls, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, size: int) -> Entries:
        """Return a matrix from entries; those at one position are added."""
        positions, inverse = np.unique(rows * size + columns, return_inverse=True)
        return cls(*np.divmod(positions, size), np.bincount(inverse, values, len(positions)), size)

    def kron(self, other: Entries) -> Entries:
        """Return the Kronecker product, as ``numpy.kron`` orders it."""
        rows = self.rows[:, None] * other.size + other.rows
        columns = self.columns[:, None] * other.size + other.columns
        values = self.values[:, None] * other.values
        return Entries(rows.ravel(), columns.ravel(), values.ravel(), self.size * other.size)

    def __add__(self, other: Entries) -> Entries:
        rows, columns = np.append(self.rows, other.rows), np.append(self.columns, other.columns)
        return Entries.summed(rows, columns, np.append(self.values, other.values), self.size)

    def within(self, components: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return dense submatrices (n, n) of disjoint sets of coordinates, in one pass."""
        owner, position = np.empty(self.size, dtype=np.int64), np.empty(self.size, dtype=np.int64)
        for number, component in enumerate(components):
            owner[component], position[component] = number, np.arange(len(component))
        number, row, column = owner[self.columns], position[self.rows], position[self.columns]
        sizes = np.array([len(component) for component in components])
        starts = np.cumsum(sizes**2) - sizes**2
        flat, inside = np.zeros((sizes**2).sum()), number == owner[self.rows]
        flat[(starts[number] + row * sizes[number] + column)[inside]] = self.values[inside]
        return [flat[start : start + n * n].reshape(n, n) for start, n in zip(starts, sizes, strict=True)]


def neighbours(matrices: Sequence[Entries]) -> list[np.ndarray]:
    """Return the coordinates coupled to each one: the nonzero rows of its column, one matrix after another."""
    coupled = [abs(M.values) > ROUNDING for M in matrices]
    rows = np.concatenate([M.rows[kept] for M, kept in zip(matrices, coupled, strict=True)])
    columns = np.concatenate([M.columns[kept] for M, kept in zip(matrices, coupled, strict=True)])
    matrix = np.repeat(np.arange(len(matrices)), [kept.sum() for kept in coupled])
    order = np.lexsort((rows, matrix, columns))
    return np.split(rows[order], np.searchsorted(columns[order], np.arange(1, matrices[0].size)))
