"""The leading singular subspace of a matrix, exactly, without the rest of the decomposition."""

import torch
from torch import Tensor

from isospan.linalg.decompositions import decomposition, eigh
from isospan.linalg.spectra import left, randomised_svd
from isospan.settings import config

SMALLEST_RATIO = 1e-3
"""Ratio of singular values below which squaring them costs too many digits."""
LEAST_SQUARED = 1e-200
"""A sum of squares between this and its inverse keeps its digits within the range of float64."""


@decomposition
@torch.no_grad()
def top_left_singular(C: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""Return the k leading left singular vectors of C as rows, and their singular values.

    With ``solver_mode="auto"`` they come from the k leading eigenvectors of the Gram matrix of the shorter side, in
    float64; on the CPU LAPACK's ``syevr`` finds these alone, which takes half of the time of finding all. Where
    singular values spread too far for a Gram matrix, the full SVD decides. ``"lowrank"`` approximates these k alone
    (:func:`isospan.linalg.randomised_svd`); the other modes truncate :func:`isospan.linalg.left`.

    Args:
        C: matrix (D, P), float64.
        k: how many, at most min(D, P).

    Returns:
        W (k, D) with orthonormal rows, to eps (s_1/s_k)² where s_k is above a thousandth of s_1 and to eps elsewhere,
        and s (k,), descending. Signs are not fixed. No gradient.

    Raises:
        NonFiniteError: C contains NaN or infinity.

    Source: Dhillon and Parlett, Multiple representations to compute orthogonal eigenvectors of symmetric tridiagonal
    matrices, 2004.

    Example:
        >>> import torch
        >>> W, s = top_left_singular(torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)), 2)
        >>> W.abs(), s
        (tensor([[0., 1., 0.],
                [0., 0., 1.]], dtype=torch.float64), tensor([3., 2.], dtype=torch.float64))
    """
    if config.solver_mode == "auto":
        leading = _from_gram(C, k)
        if leading is not None:
            return leading
    U, s = randomised_svd(C, k)[:2] if config.solver_mode == "lowrank" else left(C)
    return U[:, :k].mT.contiguous(), s[:k]


def _from_gram(C: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Leading left singular vectors from the shorter side, or None where they would not be exact."""
    wide = C.shape[0] <= C.shape[1]
    A = C if wide else C.mT
    pairs = (_by_lapack if A.device.type == "cpu" else _by_torch)(A, k)
    if pairs is None:
        return None
    squares, V = pairs
    largest, *_, smallest = squares.tolist() * 2
    if not smallest > SMALLEST_RATIO**2 * largest:
        return None
    if wide:
        return V, squares.sqrt()
    VA = V @ A
    s = torch.linalg.vector_norm(VA, dim=1, keepdim=True)
    return VA / s, s.squeeze(1)


def _by_torch(A: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """The k leading eigenvalues of A Aᵀ, descending, and eigenvectors, as rows; None where squares lose digits."""
    G = A @ A.mT
    if not LEAST_SQUARED < float(G.trace()) < 1 / LEAST_SQUARED:
        return None
    squares, V = eigh(G)
    return squares[-k:].flip(0), V[:, -k:].mT.flip(0)


def _by_lapack(A: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """The same in half of the time; None also where it doesn't converge."""
    from scipy.linalg import get_blas_funcs, get_lapack_funcs

    a, n = A.numpy(), len(A)
    (syrk,), (syevr,) = get_blas_funcs(("syrk",), (a,)), get_lapack_funcs(("syevr",), (a,))
    by_columns = a.strides[0] <= a.strides[1]  # a copy, where the wrapper needs one, is then made in order
    G = syrk(1.0, a, lower=1) if by_columns else syrk(1.0, a.T, trans=1, lower=1)
    if not LEAST_SQUARED < G.trace() < 1 / LEAST_SQUARED:  # syevr may not end where there is NaN
        return None
    w, v, _, _, failed = syevr(G, range="I", il=n - k + 1, iu=n, lower=1, overwrite_a=1)
    if failed:
        return None
    return torch.from_numpy(w[k - 1 :: -1].copy()), torch.from_numpy(v[:, k - 1 :: -1].T.copy())
