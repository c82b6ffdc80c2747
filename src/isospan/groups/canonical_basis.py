"""A basis of an irrep that depends on the irrep only, not on how its space was found."""

import numpy as np

from isospan.representations.words import WordTree

ALMOST = 1e-13


def canonical_basis(tree: WordTree, matrices: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Matrices (k, d, d) of the generators in the basis made from the orbit of one vector.

    The vector is ``start``, projected on the top eigenspace of the last generator's symmetric part, so that a
    reflection becomes diagonal; its orbit is orthonormalised in the order of the words.

    Args:
        tree: words of the group's elements.
        matrices: orthogonal (k, d, d), in any basis.
        start: a vector (d,) that turns with that basis, as the image of a fixed one does.
    """
    values, vectors = np.linalg.eigh((matrices[-1] + matrices[-1].T) / 2)
    top = vectors[:, values > values[-1] - 1e-6]
    projected = top @ (top.T @ start)
    v = projected if np.linalg.norm(projected) > 1e-3 * np.linalg.norm(start) else start
    basis = _orthonormal(_orbit(tree, matrices, v / np.linalg.norm(v)))
    return snapped(basis.T @ matrices @ basis)


def _orbit(tree: WordTree, matrices: np.ndarray, v: np.ndarray) -> np.ndarray:
    """σ(x) v for all x, (order, d): x runs through all words read backwards, short ones first."""
    orbit = tree.pull_back(matrices.transpose(0, 2, 1), v[:, None])[..., 0]
    return orbit[np.concatenate([[tree.root], *(children for _, children, _ in tree.layers)])]


def _orthonormal(orbit: np.ndarray) -> np.ndarray:
    """Gram-Schmidt on the vectors that add a direction, with a bound that is lowered until they span; columns."""
    d = orbit.shape[1]
    frame, bound = np.empty((d, 0)), 0.3
    while frame.shape[1] < d:
        for w in orbit:
            rest = w - frame @ (frame.T @ w)
            rest = rest - frame @ (frame.T @ rest)
            length = np.linalg.norm(rest)
            if length > bound:
                frame = np.column_stack([frame, rest / length])
            if frame.shape[1] == d:
                break
        bound /= 4
    return frame


def snapped(matrices: np.ndarray) -> np.ndarray:
    """Entries that are 0, ±1/2 or ±1 to rounding, made so."""
    halves = np.round(2 * matrices) / 2
    return np.where(abs(matrices - halves) < ALMOST, halves, matrices) + 0.0
