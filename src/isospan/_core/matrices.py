"""Matrices of groups, as NumPy arrays: read, rounded to integers, and exponentials."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from isospan.errors import DtypeError, NonFiniteError, ShapeError

ROUNDING = 1e-9
"""Largest difference of entries that counts as rounding.

Products, exponentials and factorisations in float64 err by 1e-16 to 1e-12. Orthogonality and relations of matrices may
fail by ten times as much, so matrices stay accepted after a replacement of entries within this difference.
"""


def square_matrix(value: Any, *, what: str) -> np.ndarray:
    """Return a square, real, finite matrix in float64 on the CPU."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value if value.is_complex() else value.double()).numpy()
    try:
        array = np.asarray(value)
        matrix = np.real(array).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"{what} must be a square matrix (n, n) of numbers, got {type(value).__name__}: {error}."
        ) from error
    if np.iscomplexobj(array):
        raise DtypeError(f"{what} must be real, got {array.dtype}. Write a + ib as the real matrix [[a, -b], [b, a]].")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ShapeError(f"{what} must be a square matrix (n, n), got shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        bad = int((~np.isfinite(matrix)).sum())
        raise NonFiniteError(f"{what} must be finite, got {bad} NaN or infinite of {matrix.size} entries.")
    return matrix


def snapped(matrices: np.ndarray) -> np.ndarray:
    """Return matrices (k, n, n), those that differ from integers by rounding replaced by these; -0.0 becomes 0.0.

    Orthogonal integer matrices are signed permutations. Other matrices do not change, since an entry near an integer
    may belong to a rotation.
    """
    integers = np.round(matrices)
    is_integer = (abs(matrices - integers) <= ROUNDING).all((-2, -1), keepdims=True)
    return np.where(is_integer, integers, matrices) + 0.0


def stack_matrices(values: Sequence[Any], *, labels: Sequence[str]) -> np.ndarray:
    """Return matrices of one size as an array (k, n, n)."""
    matrices = [
        square_matrix(value, what=f"The matrix of {label}") for value, label in zip(values, labels, strict=True)
    ]
    sizes = {label: len(matrix) for label, matrix in zip(labels, matrices, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"All matrices of a representation must have one size, got {sizes}.")
    return np.stack(matrices)


def exponential(X: np.ndarray) -> np.ndarray:
    """Return the exponential of an antisymmetric matrix X, orthogonal to rounding, from the eigenvectors of -iX."""
    angles, V = np.linalg.eigh(-1j * X)
    return np.real((V * np.exp(1j * angles)) @ V.conj().T)
