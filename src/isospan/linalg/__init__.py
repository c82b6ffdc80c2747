"""Decompositions, least squares and geometry of subspaces."""

from isospan.linalg._angles import grassmann_distance, principal_angles
from isospan.linalg._bases import (
    complete_rows,
    fix_signs,
    nearest_frame,
    nested_frame,
    orthogonal_complement,
    orthonormal_rows,
    procrustes_rotation,
)
from isospan.linalg._decompositions import eigh, pinv, qr, svd, svdvals
from isospan.linalg._eigenvalues import add_gram_, gram_spectrum, mirror_, symmetric_spectrum
from isospan.linalg._exponential import matrix_exp
from isospan.linalg._least_squares import power_of_two, solve_gram
from isospan.linalg._truncated import top_left_singular

__all__ = [
    "add_gram_",
    "complete_rows",
    "eigh",
    "fix_signs",
    "gram_spectrum",
    "grassmann_distance",
    "matrix_exp",
    "mirror_",
    "nearest_frame",
    "nested_frame",
    "orthogonal_complement",
    "orthonormal_rows",
    "pinv",
    "power_of_two",
    "principal_angles",
    "procrustes_rotation",
    "qr",
    "solve_gram",
    "svd",
    "svdvals",
    "symmetric_spectrum",
    "top_left_singular",
]
