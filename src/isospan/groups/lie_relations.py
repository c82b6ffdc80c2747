"""The relations that matrices of a Lie group's algebra and reflections have to satisfy."""

from collections.abc import Iterator, Sequence

import numpy as np

from isospan.groups.lie_factors import LieFactor
from isospan.representations.matrices import exponential


def factor_relations(
    factor: LieFactor, algebra: np.ndarray, reflections: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Every relation of one factor, as text, and by how much matrices violate it.

    Commutators are those of the algebra; a full turn exp(2π X) is the identity, which spin representations violate;
    a reflection has order 2 and acts on the algebra as it should.
    """
    eye = np.eye((algebra if len(algebra) else reflections).shape[-1])
    X = factor.algebra
    for i in range(len(X)):
        yield f"exp(2π {names[i]}) = e", _largest(exponential(2 * np.pi * algebra[i]) - eye)
        for j in range(i + 1, len(X)):
            expected = np.tensordot(_coordinates(X[i] @ X[j] - X[j] @ X[i], X), algebra, axes=1)
            yield (
                f"the commutator of {names[i]} and {names[j]}",
                _largest(_commutator(algebra[i], algebra[j]) - expected),
            )
        for c, C in zip(factor.reflections, reflections, strict=True):
            expected = np.tensordot(_coordinates(c @ X[i] @ c.T, X), algebra, axes=1)
            yield f"the action of the reflection on {names[i]}", _largest(C @ algebra[i] @ C.T - expected)
    for C in reflections:
        yield "that the reflection has order 2", _largest(C @ C - eye)


def commuting_relations(
    left: np.ndarray, right: np.ndarray, left_name: str, right_name: str
) -> Iterator[tuple[str, float]]:
    """That the matrices of one factor commute with those of another."""
    for A in left:
        for B in right:
            yield f"that {left_name} commutes with {right_name}", _largest(_commutator(A, B))


def _coordinates(Y: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Coordinates of Y in an orthogonal basis of matrices."""
    return np.einsum("kij,ij->k", basis, Y) / np.einsum("kij,kij->k", basis, basis)


def _commutator(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A @ B - B @ A


def _largest(defect: np.ndarray) -> float:
    return float(abs(defect).max())
