"""Rotations and reflections of the plane and of space, SO(2), O(2), SO(3) and O(3), and their irreps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isospan._core.immutable import Immutable
from isospan._core.matrices import exponential
from isospan.errors import GroupError
from isospan.groups._outer_products import FactorIrrep

PLANE = np.array([[[0.0, -1], [1, 0]]])
"""The Lie algebra of SO(2): rotation by 90 degrees."""
SPACE = np.array(
    [
        [[0.0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0.0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0.0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ]
)
"""The Lie algebra of SO(3): rotations about x, y and z."""


SAME = 1e-9
"""Largest difference of entries at which matrices are the same element."""
ORTHOGONAL = 1e-8
"""Largest violation of M Mᵀ = 1 that counts as rounding."""


@dataclass(frozen=True, eq=False)
class LieFactor(Immutable):
    """A group of orthogonal matrices (d, d).

    Attributes:
        name: name in messages.
        algebra: basis (a, d, d) of its Lie algebra.
        generators: a matrix (c, d, d) of order 2 in each component except that of the identity, c = 0 or 1.
        logarithm: coordinates (a,) of the logarithm of a rotation.
        irreps: all irreps up to a frequency, sorted.
    """

    name: str
    algebra: np.ndarray
    generators: np.ndarray
    logarithm: Callable[[np.ndarray], np.ndarray]
    irreps: Callable[[int], list[FactorIrrep]]

    @property
    def algebra_dim(self) -> int:
        """Dimension a of the Lie algebra."""
        return len(self.algebra)

    @property
    def identity(self) -> np.ndarray:
        """The neutral element."""
        return np.eye(self.algebra.shape[-1])

    def element(self, value: Any) -> np.ndarray:
        """Return a matrix as an array, which must be one of the group."""
        M, d = np.array(value, dtype=np.float64), self.algebra.shape[-1]
        must = f"An element of {self.name} is an orthogonal matrix ({d}, {d}), got"
        if M.shape != (d, d):
            raise GroupError(f"{must} one of shape {M.shape}.")
        defect = abs(M @ M.T - np.eye(d)).max()
        if not defect < ORTHOGONAL:
            raise GroupError(f"{must} a defect of M Mᵀ = 1 of {defect:.3g}. Compute it in float64.")
        if np.linalg.det(M) < 0 and not len(self.generators):
            raise GroupError(f"An element of {self.name} has determinant 1, got -1. Use O{d}() for reflections.")
        return M

    def exp(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the exponential of Σ xᵢ Xᵢ."""
        return exponential(np.tensordot(coordinates, self.algebra, axes=1))

    def factor(self, M: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Return the coordinates of R and the word of C in M = R C: a rotation times the identity or the generator."""
        if np.linalg.det(M) > 0:
            return self.logarithm(M), []
        return self.logarithm(M @ self.generators[0].T), [(0, 1)]

    def sample(self, *, generator: np.random.Generator) -> np.ndarray:
        """Return a random matrix from the invariant (Haar) distribution.

        Source: Stewart, The efficient generation of random orthogonal matrices, 1980.
        """
        d = self.algebra.shape[-1]
        Q, R = np.linalg.qr(generator.standard_normal((d, d)))
        Q = Q * np.sign(np.diag(R))
        if not len(self.generators) and np.linalg.det(Q) < 0:
            Q[:, 0] *= -1
        return Q

    def relations(
        self, algebra: np.ndarray, generators: np.ndarray, names: Sequence[str]
    ) -> Iterator[tuple[str, float]]:
        """Yield every relation that the matrices of a representation satisfy, as text, and its violation.

        The algebra has its commutators. exp(2π X) is the identity, which spin representations violate. The generator
        has order 2, and acts on the algebra.
        """
        eye = np.eye((algebra if len(algebra) else generators).shape[-1])
        X = self.algebra
        for i in range(len(X)):
            yield f"exp(2π {names[i]}) = e", _largest(exponential(2 * np.pi * algebra[i]) - eye)
            for j in range(i + 1, len(X)):
                expected = np.tensordot(_coordinates(X[i] @ X[j] - X[j] @ X[i], X), algebra, axes=1)
                defect = _largest(algebra[i] @ algebra[j] - algebra[j] @ algebra[i] - expected)
                yield f"the commutator of {names[i]} and {names[j]}", defect
            for c, C in zip(self.generators, generators, strict=True):
                expected = np.tensordot(_coordinates(c @ X[i] @ c.T, X), algebra, axes=1)
                yield f"the action of the reflection on {names[i]}", _largest(C @ algebra[i] @ C.T - expected)
        for C in generators:
            yield "that the reflection has order 2", _largest(C @ C - eye)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LieFactor):
            return False
        return np.array_equal(self.algebra, other.algebra) and np.array_equal(self.generators, other.generators)

    def __hash__(self) -> int:
        return hash((self.algebra.tobytes(), self.generators.tobytes()))

    def __repr__(self) -> str:
        return self.name


def _coordinates(Y: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return the coordinates of Y in an orthogonal basis of matrices."""
    return np.einsum("kij,ij->k", basis, Y) / np.einsum("kij,kij->k", basis, basis)


def _largest(defect: np.ndarray) -> float:
    return float(abs(defect).max())


def plane_logarithm(R: np.ndarray) -> np.ndarray:
    """Return the angle (1,) of a rotation of the plane."""
    return np.array([np.arctan2(R[1, 0], R[0, 0])])


def space_logarithm(R: np.ndarray) -> np.ndarray:
    """Return the rotation vector (3,) of a rotation of space, exact to rounding, also near 180 degrees.

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
    """Return the irreps of SO(2): rotation by k times the angle, of complex type for k > 0."""
    none, units = np.empty((0, 2, 2)), np.stack([np.eye(2), PLANE[0]])
    trivial = FactorIrrep((0,), "frequency 0", np.zeros((1, 1, 1)), np.empty((0, 1, 1)), np.ones((1, 1, 1)))
    frequencies = range(1, max_frequency + 1)
    return [trivial, *(FactorIrrep((k,), f"frequency {k}", k * PLANE, none, units) for k in frequencies)]


def orthogonal_plane_irreps(max_frequency: int) -> list[FactorIrrep]:
    """Return the irreps of O(2): trivial (0, 0), determinant (0, 1), and k times the angle with a reflection (k, 0)."""
    zero, one, reflection = np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.diag([1.0, -1])[None]
    trivial = FactorIrrep((0, 0), "frequency 0", zero, one, one)
    determinant = FactorIrrep((0, 1), "determinant", zero, -one, one)
    planes = [
        FactorIrrep((k, 0), f"frequency {k}", k * PLANE, reflection, np.eye(2)[None])
        for k in range(1, max_frequency + 1)
    ]
    return [trivial, determinant, *planes]


def space_irreps(max_frequency: int) -> list[FactorIrrep]:
    """Return the irreps of SO(3): degree l, of dimension 2 l + 1; l = 1 is the rotation of vectors (x, y, z)."""
    return [
        FactorIrrep((l,), f"l={l}", degree_algebra(l), np.empty((0, 2 * l + 1, 2 * l + 1)), np.eye(2 * l + 1)[None])
        for l in range(max_frequency + 1)  # noqa: E741
    ]


def orthogonal_space_irreps(max_frequency: int) -> list[FactorIrrep]:
    """Return the irreps of O(3): degree l with the inversion as 1 (l, 0) or as -1 (l, 1); vectors are (1, 1)."""
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
    r"""Return real matrices (3, 2l + 1, 2l + 1) of the rotations about x, y and z on harmonics of degree l.

    :math:`-i J` in the basis cos l, sin l, ..., cos 1, sin 1, 0 of the orders m. There the rotation about z rotates
    each pair (cos m, sin m) by m times the angle.

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
ORTHOGONAL_2 = LieFactor("O2()", PLANE, np.diag([1.0, -1])[None], plane_logarithm, orthogonal_plane_irreps)
ORTHOGONAL_3 = LieFactor("O3()", SPACE, -np.eye(3)[None], space_logarithm, orthogonal_space_irreps)
