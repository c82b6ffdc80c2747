"""What matrices must satisfy to be an orthogonal representation of their group."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isospan.errors import RepresentationError, ShapeError
from isospan.representations.matrices import Matrices, labels, square_matrix
from isospan.representations.symmetry import SymmetryGroup

TOLERANCE = 1e-8
"""Largest violation of orthogonality or of a relation that counts as rounding."""
SINGLE_ROUNDING = 1e-5
"""Violation up to which matrices look like orthogonal ones in float32."""
ALL_TESTED = 64
"""Order up to which a function is compared on every element; on half as many random ones beyond it."""


def check_orthogonal(group: SymmetryGroup, algebra: np.ndarray, generators: np.ndarray) -> None:
    """Require antisymmetric algebra elements and orthogonal generators."""
    size = (generators if len(generators) else algebra).shape[-1]
    defects = [abs(X + X.T).max() for X in algebra] + [abs(M @ M.T - np.eye(size)).max() for M in generators]
    for label, defect in zip(labels(group), defects, strict=True):
        if defect > TOLERANCE:
            kind = "orthogonal (M Mᵀ = I)" if label.startswith("generator") else "antisymmetric (X + Xᵀ = 0)"
            remedy = (
                "This is rounding, as of float32: compute it in float64."
                if defect < SINGLE_ROUNDING
                else "Use isospan.representations.orthogonalize for an equivalent representation that is orthogonal."
            )
            raise RepresentationError(f"The matrix of {label} must be {kind}, got a defect of {defect:.3g}. {remedy}")


def check_relations(group: SymmetryGroup, algebra: np.ndarray, generators: np.ndarray) -> None:
    """Require the relations of the group of its matrices."""
    relation, defect = group.worst_relation(algebra, generators)
    if not defect <= TOLERANCE * max(1.0, abs(algebra).max(initial=0.0)):
        basis = ", ".join(f"X{i}" for i in range(len(algebra)))
        kinds = [f"the algebra's basis is {basis}"] if len(algebra) else []
        kinds += [f"the generators are {list(group.generators)}"] if len(generators) else []
        raise RepresentationError(
            f"The matrices are not a representation of {group.name}: {relation} fails by {defect:.3g}. Check them, "
            f"their order ({', '.join(kinds)}), and that they are computed in float64."
        )


def check_given(group: SymmetryGroup, matrices: Matrices, implied: Callable[[Any], np.ndarray]) -> None:
    """Require that a dict or a function gives other elements the matrices that those of the generators imply."""
    if isinstance(matrices, Mapping):
        elements, given = list(matrices), matrices.__getitem__
    elif callable(matrices):
        elements, given = _test_elements(group), matrices
    else:
        return
    for g in elements:
        M, expected = square_matrix(given(g), what=f"The matrix of {g}"), implied(g)
        if M.shape != expected.shape:
            raise ShapeError(f"The matrix of {g} must be {expected.shape} as those of the generators, got {M.shape}.")
        defect = abs(M - expected).max()
        if defect > TOLERANCE * max(1.0, abs(expected).max()):
            raise RepresentationError(
                f"The matrix given for {g} differs from the one that the generators {list(group.generators)} imply by "
                f"{defect:.3g}. Matrices multiply as elements do, M(g h) = M(g) M(h): that of a permutation p has "
                "M[p[i], i] = 1, and a transposed one is that of the inverse."
            )


def _test_elements(group: Any) -> Sequence[Any]:
    order = group.order()
    if order is not None and order <= ALL_TESTED:
        return group.elements
    rng = np.random.default_rng(0)
    return [group.sample(generator=rng) for _ in range(ALL_TESTED // 2)]
