"""Groups from their multiplication table."""

from typing import Any

import numpy as np

from isospan.errors import GroupError


def read_cayley_table(table: Any) -> tuple[np.ndarray, int, list[int]]:
    """Check that a table [x, y] = xy is that of a group.

    Returns:
        The table (n, n), the index of the identity and a list of generators.

    Raises:
        GroupError: an entry is out of range, or there is no identity, or inverses or associativity fail.

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
    numbers = np.arange(len(table))
    both = (table == numbers).all(1) & (table.T == numbers).all(1)
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
    """Elements in their order, each unless the earlier ones produce it."""
    generators: list[int] = []
    reached = np.zeros(len(table), dtype=bool)
    reached[root] = True
    for g in range(len(table)):
        if not reached[g]:
            generators.append(g)
            reached[g] = True
            _extend(table, generators, reached)
    return generators or [root]


def _extend(table: np.ndarray, generators: list[int], reached: np.ndarray) -> None:
    frontier = np.flatnonzero(reached)
    while len(frontier):
        products = np.unique(table[frontier[:, None], generators])
        frontier = products[~reached[products]]
        reached[frontier] = True
