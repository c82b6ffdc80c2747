"""The matrices of a representation: read from arrays, tensors, dicts or functions, and checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isospan._core.matrices import square_matrix, stack_matrices
from isospan.errors import GroupError, RepresentationError, ShapeError
from isospan.representations._symmetry import SymmetryGroup

Matrices = Mapping[Any, Any] | Callable[[Any], Any] | Sequence[Any] | np.ndarray
"""One matrix for every generator: in their order, by element, or as a function of an element."""
TOLERANCE = 1e-8
"""Largest violation of orthogonality or of a relation that counts as rounding."""
SINGLE_ROUNDING = 1e-5
"""Violation up to which matrices look like orthogonal ones in float32."""
ALL_TESTED = 64
"""Order up to which a function is compared on every element; on half as many random ones above it."""
STEP = 1.0 / 64
"""Step along the Lie algebra in the derivative of a function."""
HIGHEST_FREQUENCY = 100
"""Largest frequency of a function that is differentiated: ``STEP`` then rotates by less than π/2."""


def read_matrices(
    group: SymmetryGroup, matrices: Matrices, algebra: Sequence[Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrices (a, n, n) of the Lie algebra's basis and (k, n, n) of the generators, from any input."""
    if isinstance(group, type) or not hasattr(group, "worst_relation"):
        raise GroupError(f"A representation is one of a group, such as CyclicGroup(4), got {group!r}.")
    given = [*_algebra_matrices(group, matrices, algebra), *_generator_matrices(group, matrices)]
    stack = stack_matrices(given, labels=labels(group))
    return stack[: group.algebra_dim], stack[group.algebra_dim :]


def labels(group: SymmetryGroup) -> list[str]:
    """Return the names of the matrices in messages: of the Lie algebra first, then of the generators."""
    return [f"algebra element {i}" for i in range(group.algebra_dim)] + [f"generator {g}" for g in group.generators]


def _generator_matrices(group: SymmetryGroup, matrices: Matrices) -> list[Any]:
    """Return the matrices of the generators in their order."""
    if callable(matrices):
        return [matrices(g) for g in group.generators]
    if isinstance(matrices, Mapping):
        return _from_mapping(group, matrices)
    matrices = _listed(matrices)
    if len(matrices) != len(group.generators):
        raise RepresentationError(
            f"A representation of {group.name} needs one matrix for each of its {len(group.generators)} generators "
            f"{list(group.generators)}, got {len(matrices)}. Pass them in this order, or a dict of element: matrix."
        )
    return matrices


def _listed(matrices: Any) -> list[Any]:
    try:
        return list(matrices)
    except TypeError as error:
        raise RepresentationError(
            f"Matrices are given as a sequence, a dict or a function, got {type(matrices).__name__}."
        ) from error


def _from_mapping(group: SymmetryGroup, matrices: Mapping[Any, Any]) -> list[Any]:
    foreign = [g for g in matrices if getattr(g, "group", None) != group]
    if foreign:
        raise RepresentationError(f"The keys must be elements of {group.name}, got {foreign[:3]}.")
    missing = [g for g in group.generators if g not in matrices]
    if missing:
        raise RepresentationError(
            f"The matrices of the generators {list(group.generators)} of {group.name} are needed, got those of "
            f"{list(matrices)[:8]} without {missing}. Add them; the matrices of other elements follow."
        )
    return [matrices[g] for g in group.generators]


def _algebra_matrices(group: SymmetryGroup, matrices: Matrices, algebra: Sequence[Any] | None) -> list[Any]:
    """Return the matrices of the Lie algebra's basis: as given, or derivatives of a function on elements."""
    if algebra is not None:
        algebra = _listed(algebra)
        if len(algebra) != group.algebra_dim:
            raise RepresentationError(
                f"A representation of {group.name} needs one matrix for each of the {group.algebra_dim} elements of "
                f"the basis of its Lie algebra, got {len(algebra)}. Pass them as algebra=[...]."
            )
        return algebra
    if not group.algebra_dim:
        return []
    if not callable(matrices):
        raise RepresentationError(
            f"{group.name} is not finite: pass the {group.algebra_dim} matrices of its Lie algebra as algebra=[...], "
            "or one function that gives the matrix of any element."
        )
    steps = STEP * np.eye(group.algebra_dim)
    return [_logarithm(square_matrix(matrices(group.exp(x)), what=f"The matrix of exp({x})")) / STEP for x in steps]


def _logarithm(R: np.ndarray) -> np.ndarray:
    """Return log R for eigenvalues exp(iφ) with |φ| < π/2: ∫₀¹ (R - 1) (1 + t (R - 1))⁻¹ dt by Gauss' rule.

    Source: Dieci, Morini and Papini, Computational Techniques for Real Logarithms of Matrices, 1996.
    """
    angle = abs(np.angle(np.linalg.eigvals(R))).max()
    if angle > HIGHEST_FREQUENCY * STEP * (1 + 1e-9):
        raise RepresentationError(
            f"A function on a Lie group is differentiated up to the frequency {HIGHEST_FREQUENCY}, got one that "
            f"rotates by {angle:.3g} over a step of {STEP:.3g}. Pass the matrices of the Lie algebra as algebra=[...]."
        )
    nodes, weights = np.polynomial.legendre.leggauss(24)
    D, t = R - np.eye(len(R)), (nodes[:, None, None] + 1) / 2
    return np.tensordot(weights / 2, np.linalg.inv(np.eye(len(R)) + t * D), axes=1) @ D


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
    """Require that the matrices satisfy the relations of the group."""
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
    """Require that a dict or a function agrees with the matrices that the generators imply for other elements."""
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
                f"{defect:.3g}. Matrices must satisfy M(g h) = M(g) M(h). The matrix of a permutation p has "
                "M[p[i], i] = 1; its transpose is the matrix of the inverse."
            )


def _test_elements(group: Any) -> Sequence[Any]:
    order = group.order()
    if order is not None and order <= ALL_TESTED:
        return group.elements
    rng = np.random.default_rng(0)
    return [group.sample(generator=rng) for _ in range(ALL_TESTED // 2)]
