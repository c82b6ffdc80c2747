"""Decompositions, least squares and geometry of subspaces; one policy for how each is computed."""

from isospan.linalg.angles import grassmann_distance, principal_angles
from isospan.linalg.bases import (
    complete_rows,
    fix_signs,
    nearest_frame,
    nested_frame,
    orthogonal_complement,
    orthonormal_rows,
    procrustes_rotation,
)
from isospan.linalg.decompositions import eigh, pinv, qr, svd, svdvals
from isospan.linalg.eigenvalues import add_gram_, gram_spectrum, mirror_, symmetric_spectrum
from isospan.linalg.exponential import matrix_exp
from isospan.linalg.least_squares import solve_gram
from isospan.linalg.spectra import full, left, randomised_svd, right, singular_values
from isospan.linalg.truncated import top_left_singular

__all__ = [
    "add_gram_",
    "complete_rows",
    "eigh",
    "fix_signs",
    "full",
    "gram_spectrum",
    "grassmann_distance",
    "left",
    "matrix_exp",
    "mirror_",
    "nearest_frame",
    "nested_frame",
    "orthogonal_complement",
    "orthonormal_rows",
    "pinv",
    "principal_angles",
    "procrustes_rotation",
    "qr",
    "randomised_svd",
    "right",
    "singular_values",
    "solve_gram",
    "svd",
    "svdvals",
    "symmetric_spectrum",
    "top_left_singular",
]
