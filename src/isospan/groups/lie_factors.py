"""Rotations and reflections of the plane and of space: the Lie groups that products are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isospan._core.immutable import Immutable

PLANE = np.array([[[0.0, -1], [1, 0]]])
"""The algebra of SO(2): a quarter turn."""
SPACE = np.array(
    [
        [[0.0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0.0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0.0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ]
)
"""The algebra of SO(3): rotations about x, y and z."""


@dataclass(frozen=True, eq=False)
class FactorIrrep(Immutable):
    """An irrep of one factor: its matrices on the algebra (a, d, d) and on the reflections (c, d, d)."""

    key: tuple[int, ...]
    name: str
    algebra: np.ndarray
    generators: np.ndarray
    endomorphism_basis: np.ndarray


@dataclass(frozen=True, eq=False)
class LieFactor(Immutable):
    """A group of orthogonal matrices (d, d).

    Attributes:
        name: what it is called.
        algebra: basis (a, d, d) of its Lie algebra.
        reflections: a representative (c, d, d) of each component besides the identity's, c = 0 or 1, of order 2.
        logarithm: coordinates (a,) of the logarithm of a rotation.
        irreps: all irreps up to a frequency, sorted.
    """

    name: str
    algebra: np.ndarray
    reflections: np.ndarray
    logarithm: Callable[[np.ndarray], np.ndarray]
    irreps: Callable[[int], list[FactorIrrep]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LieFactor):
            return False
        return np.array_equal(self.algebra, other.algebra) and np.array_equal(self.reflections, other.reflections)

    def __hash__(self) -> int:
        return hash((self.algebra.tobytes(), self.reflections.tobytes()))

    def split(self, M: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Coordinates of R and the runs of the rest, where M = R times a reflection or not."""
        if np.linalg.det(M) > 0:
            return self.logarithm(M), []
        return self.logarithm(M @ self.reflections[0].T), [(0, 1)]

    def sample(self, generator: np.random.Generator) -> np.ndarray:
        """A random matrix from the invariant distribution.

        Source: Stewart, The efficient generation of random orthogonal matrices, 1980.
        """
        d = self.algebra.shape[-1]
        Q, R = np.linalg.qr(generator.standard_normal((d, d)))
        Q = Q * np.sign(np.diag(R))
        if not len(self.reflections) and np.linalg.det(Q) < 0:
            Q[:, 0] *= -1
        return Q


def plane_logarithm(R: np.ndarray) -> np.ndarray:
    """Angle (1,) of a rotation of the plane."""
    return np.array([np.arctan2(R[1, 0], R[0, 0])])


def space_logarithm(R: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) of a rotation of space, exact to rounding also near half turns.

    Source: its unit quaternion is the top eigenvector of a matrix linear in R; Bar-Itzhack, New method for extracting
    the quaternion from a rotation matrix, 2000.
    """
    K = np.empty((4, 4))
    K[0, 0] = np.trace(R)
    K[0, 1:] = K[1:, 0] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    K[1:, 1:] = R + R.T - np.trace(R) * np.eye(3)
    q = np.linalg.eigh(K)[1][:, -1]
    q = q if q[0] >= 0 else -q
    sine = np.linalg.norm(q[1:])
    return 2 * np.arctan2(sine, q[0]) * q[1:] / sine if sine > 0 else np.zeros(3)


def plane_irreps(max_frequency: int) -> list[FactorIrrep]:
    """SO(2): rotation by k times the angle, of complex type but for k = 0."""
    none, units = np.empty((0, 2, 2)), np.stack([np.eye(2), PLANE[0]])
    trivial = FactorIrrep((0,), "frequency 0", np.zeros((1, 1, 1)), np.empty((0, 1, 1)), np.ones((1, 1, 1)))
    turns = range(1, max_frequency + 1)
    return [trivial, *(FactorIrrep((k,), f"frequency {k}", k * PLANE, none, units) for k in turns)]


def mirrored_plane_irreps(max_frequency: int) -> list[FactorIrrep]:
    """O(2): trivial (0, 0), the determinant (0, 1), and rotations by k times the angle with a mirror (k, 0)."""
    zero, one, mirror = np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.diag([1.0, -1])[None]
    scalars = [FactorIrrep((0, 0), "frequency 0", zero, one, one), FactorIrrep((0, 1), "determinant", zero, -one, one)]
    turns = range(1, max_frequency + 1)
    return scalars + [FactorIrrep((k, 0), f"frequency {k}", k * PLANE, mirror, np.eye(2)[None]) for k in turns]


def space_irreps(max_frequency: int) -> list[FactorIrrep]:
    """SO(3): degree l, of dimension 2 l + 1; l = 1 is the rotation of vectors (x, y, z)."""
    return [
        FactorIrrep((l,), f"l={l}", degree_algebra(l), np.empty((0, 2 * l + 1, 2 * l + 1)), np.eye(2 * l + 1)[None])
        for l in range(max_frequency + 1)  # noqa: E741
    ]


def mirrored_space_irreps(max_frequency: int) -> list[FactorIrrep]:
    """O(3): degree l with the inversion as 1 (l, 0) or as -1 (l, 1); vectors are (1, 1)."""
    return [
        FactorIrrep(
            (*irrep.key, parity),
            f"{irrep.name}, {'odd' if parity else 'even'}",
            irrep.algebra,
            (-1) ** parity * irrep.endomorphism_basis,
            irrep.endomorphism_basis,
        )
        for irrep in space_irreps(max_frequency)
        for parity in (0, 1)
    ]


def degree_algebra(degree: int) -> np.ndarray:
    r"""Real matrices (3, 2l + 1, 2l + 1) of the rotations about x, y and z on harmonics of degree l.

    :math:`-i J` in the basis cos l, sin l, ..., cos 1, sin 1, 0 of the orders m, in which that about z turns each pair
    (cos m, sin m) by m times the angle.

    Source: Sakurai, Modern Quantum Mechanics, 1994, section 3.5, with the Condon-Shortley phase.
    """
    m = np.arange(-degree, degree + 1)
    raising = np.diag(np.sqrt(degree * (degree + 1) - m[:-1] * (m[:-1] + 1.0)), -1)
    J = np.stack([(raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m).astype(complex)])
    U = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=complex)
    for order in range(1, degree + 1):
        column, sign = 2 * (degree - order), (-1) ** order
        U[[degree - order, degree + order], column] = np.sqrt(0.5), sign * np.sqrt(0.5)
        U[[degree - order, degree + order], column + 1] = 1j * np.sqrt(0.5), -1j * sign * np.sqrt(0.5)
    U[degree, -1] = 1
    return np.real(-1j * U.conj().T @ J @ U) + 0.0


ROTATIONS_2 = LieFactor("SO2()", PLANE, np.empty((0, 2, 2)), plane_logarithm, plane_irreps)
ROTATIONS_3 = LieFactor("SO3()", SPACE, np.empty((0, 3, 3)), space_logarithm, space_irreps)
ORTHOGONAL_2 = LieFactor("O2()", PLANE, np.diag([1.0, -1])[None], plane_logarithm, mirrored_plane_irreps)
ORTHOGONAL_3 = LieFactor("O3()", SPACE, -np.eye(3)[None], space_logarithm, mirrored_space_irreps)
