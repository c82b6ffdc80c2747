"""Rotation groups of the Platonic solids, as matrices; ``g.value`` is the rotation (3, 3)."""

import numpy as np

from isospan.groups.closure import close_matrices
from isospan.groups.finite import FiniteGroup

THREEFOLD = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
"""Rotation by 120 degrees about (1, 1, 1)."""


class TetrahedralGroup(FiniteGroup):
    """Rotations of the tetrahedron, order 12: a of order 3 about a vertex, b of order 2 about an edge.

    Example:
        >>> [irrep.size for irrep in TetrahedralGroup().irreps()]
        [1, 2, 3]
    """

    def __init__(self) -> None:
        values, right = close_matrices([THREEFOLD, np.diag([-1.0, -1, 1])])
        super().__init__(right, name="TetrahedralGroup()", values=values)


class OctahedralGroup(FiniteGroup):
    """Rotations of the cube and the octahedron, order 24: a of order 3 about a vertex, b of order 4 about a face.

    Example:
        >>> [irrep.size for irrep in OctahedralGroup().irreps()]
        [1, 1, 2, 3, 3]
    """

    def __init__(self) -> None:
        values, right = close_matrices([THREEFOLD, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])])
        super().__init__(right, name="OctahedralGroup()", values=values)


class IcosahedralGroup(FiniteGroup):
    """Rotations of the icosahedron, order 60: a of order 3 about a face, b of order 5 about a vertex.

    Example:
        >>> [irrep.size for irrep in IcosahedralGroup().irreps()]
        [1, 3, 3, 4, 5]
    """

    def __init__(self) -> None:
        golden = (1 + np.sqrt(5)) / 2
        fivefold = np.array([[1, -golden, golden - 1], [golden, golden - 1, -1], [golden - 1, 1, golden]]) / 2
        values, right = close_matrices([THREEFOLD, fivefold])
        super().__init__(right, name="IcosahedralGroup()", values=values)
