"""Closure: all elements that permutations or matrices generate."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isospan._core.matrices import snapped
from isospan.errors import GroupError

MAX_ORDER = 25_000
"""Largest order of a closure."""
CLOSE = 1e-5
"""Largest difference of entries at which matrices are the same element."""
VOLUME = 1e-3
"""Largest deviation of a determinant from ±1 that counts as rounding, in float32 and up to some hundred rows."""
LARGEST_ENTRY = 1e9
"""Largest entry of a product of matrices of finite order."""


def close_permutations(generators: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the elements (order, degree) of a permutation group, and the indices (k, order) of x times generator j.

    A permutation p is its row of images, i ↦ p[i]; the product x p applies p first.
    """
    rows = [np.asarray(generator) for generator in generators]
    _require_generators(rows)
    for number, row in enumerate(rows):
        if row.ndim != 1 or row.shape != rows[0].shape or not np.array_equal(np.sort(row), np.arange(len(row))):
            raise GroupError(
                f"A permutation of n points is a row of the numbers 0 to n - 1, each once, and all have one n; "
                f"generator {number} is {row.tolist()}."
            )
    stack = np.stack(rows).astype(np.int32)

    index: dict[bytes, int] = {}
    return _close(
        np.arange(stack.shape[1], dtype=np.int32),
        len(stack),
        lambda frontier, j: frontier[:, stack[j]],
        lambda row, count: index.setdefault(row.tobytes(), count),
        remedy="Take a smaller group.",
    )


def close_matrices(generators: Sequence[np.ndarray] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the elements (order, d, d) of a group of matrices, and the indices (k, order) of x times generator j."""
    _require_generators(generators)
    stack = snapped(np.asarray(generators, dtype=np.float64))
    for number, determinant in enumerate(np.linalg.det(stack)):
        if not abs(abs(determinant) - 1) < VOLUME:
            raise GroupError(
                f"A matrix of finite order has determinant 1 or -1, but generator {number} has {determinant:.3g}."
            )
    remedy = (
        "Their group is infinite or too large, or they are too inexact to close. Give matrices of finite order in "
        "float64."
    )
    identity, find = np.eye(stack.shape[1]), _MatrixIndex(stack.shape[1])
    values, right = _close(identity, len(stack), lambda frontier, j: frontier @ stack[j], find, remedy=remedy)
    if any(len(set(row)) < len(row) for row in right.tolist()):
        raise GroupError(
            f"The generators must be exact enough to tell the elements apart, but two of the {len(values)} found have "
            "the same product with one. Compute them in float64."
        )
    return values, right


def _require_generators(generators: Sequence[Any] | np.ndarray) -> None:
    if not len(generators):
        raise GroupError("A group needs at least one generator, got none. Pass the identity for the trivial group.")


class _MatrixIndex:
    """Finds a matrix among earlier ones up to rounding: first by cells of a random functional, then by entries."""

    def __init__(self, d: int) -> None:
        self.functional = np.random.default_rng(0).uniform(-1, 1, (d, d)) / d**2
        self.cells: dict[int, list[tuple[np.ndarray, int]]] = {}

    def __call__(self, matrix: np.ndarray, count: int) -> int:
        if not abs(matrix).max() < LARGEST_ENTRY:
            raise GroupError("The generators must be matrices of finite order, got products that grow without end.")
        cell = int(np.floor((self.functional * matrix).sum() / CLOSE))
        for near in (cell, cell - 1, cell + 1):
            for known, number in self.cells.get(near, ()):
                if abs(known - matrix).max() < CLOSE:
                    return number
        self.cells.setdefault(cell, []).append((matrix, count))
        return count


def _close(
    identity: np.ndarray,
    generators: int,
    times: Callable[[np.ndarray, int], np.ndarray],
    find: Callable[[np.ndarray, int], int],
    *,
    remedy: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Find all products breadth-first, layer by layer; ``find`` returns ``count`` for a new element."""
    find(identity, 0)
    layers, right = [identity[None]], [[] for _ in range(generators)]
    count = 1
    while len(layers[-1]):
        frontier, new = layers[-1], []
        products = [times(frontier, j) for j in range(generators)]
        for i, j in itertools.product(range(len(frontier)), range(generators)):
            number = find(products[j][i], count)
            if number == count:
                new.append(products[j][i])
                count += 1
            right[j].append(number)
        if count > MAX_ORDER:
            raise GroupError(
                f"The generators produce more than the {MAX_ORDER} elements that a group may have here. {remedy}"
            )
        layers.append(np.stack(new) if new else frontier[:0])
    return np.concatenate(layers), np.array(right, dtype=np.int32)
