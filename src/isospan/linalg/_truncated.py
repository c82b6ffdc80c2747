"""The leading left singular vectors of a matrix."""

import logging

import torch
from torch import Tensor

from isospan._core.checks import as_matrix, check_count
from isospan.errors import DimensionError
from isospan.linalg._decompositions import decomposition, eigh, svd

logger = logging.getLogger("isospan")

SMALLEST_RATIO = 1e-3
"""Ratio of singular values below which squaring them costs too many digits."""
LEAST_SQUARED = 0.65
"""Power of the least normal number (1e-200 in float64); sums of squares between it and its inverse lose no digits."""
FEW = 4
"""LAPACK computes k eigenvectors in less time than all n if k · FEW ≤ n."""


@decomposition
@torch.no_grad()
def top_left_singular(C: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""Return the k leading left singular vectors of C as rows, and their singular values.

    They come from the k leading eigenvectors of the Gram matrix of the shorter side. On the CPU, LAPACK computes only
    these (``syevr``) in less than half of the time of all. If the singular values spread too far for a Gram
    matrix, the full SVD is used.

    Args:
        C: matrix (D, P), float64.
        k: number of singular vectors, at most min(D, P).

    Returns:
        W (k, D) with orthonormal rows, and s (k,), descending. The error of W is eps (s_1/s_k)² if s_k is above a
        thousandth of s_1, else eps. Signs are not fixed. There is no gradient.

    Raises:
        NonFiniteError: C contains NaN or infinity.
        DimensionError: k is not a whole number from 1 to min(D, P).
        ShapeError: C is not a matrix.
        DtypeError: C is not real floating point.

    Example:
        >>> import torch
        >>> W, s = top_left_singular(torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)), 2)
        >>> W.abs(), s
        (tensor([[0., 1., 0.],
                [0., 0., 1.]], dtype=torch.float64), tensor([3., 2.], dtype=torch.float64))
    """
    C = as_matrix(C, what="C").detach()
    if check_count(k, what="k", error=DimensionError) > min(C.shape):
        raise DimensionError(f"k must be at most min(D, P) of C (D, P), got k = {k} and shape {tuple(C.shape)}.")
    leading = _from_gram(C, k)
    if leading is not None:
        return leading
    try:
        U, s, _ = svd(C)
    except torch.linalg.LinAlgError:
        logger.warning("The SVD of a %s matrix did not converge; using its Gram matrix.", tuple(C.shape))
        W = eigh(C @ C.mT)[1][:, -k:].mT.flip(0)
        return W, torch.linalg.vector_norm(W @ C, dim=1)
    return U[:, :k].mT.contiguous(), s[:k]


def _from_gram(C: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Return the leading left singular vectors from a Gram matrix, or None if they would not be exact."""
    wide = C.shape[0] <= C.shape[1]
    A = C if wide else C.mT
    few = A.device.type == "cpu" and k * FEW <= len(A)
    V = (_by_lapack if few else _by_torch)(A, k)
    if V is None:
        return None
    VA = V @ A
    s = torch.linalg.vector_norm(VA, dim=1)
    smallest, largest = s.aminmax()
    if not float(smallest) > SMALLEST_RATIO * float(largest):
        return None
    return V if wide else VA / s.unsqueeze(1), s


def _by_torch(A: Tensor, k: int) -> Tensor | None:
    """Return the k leading eigenvectors of A Aᵀ as rows, the largest eigenvalue first; None if squares lose digits."""
    G = A @ A.mT
    if not _in_range(float(G.trace()), A.dtype):
        return None
    return eigh(G)[1][:, -k:].mT.flip(0)


def _in_range(squared: float, dtype: torch.dtype) -> bool:
    least = torch.finfo(dtype).tiny ** LEAST_SQUARED
    return least < squared < 1 / least


def _by_lapack(A: Tensor, k: int) -> Tensor | None:
    """Return what :func:`_by_torch` does in half of the time; None also if LAPACK does not converge."""
    from scipy.linalg import LinAlgError, eigh, get_blas_funcs

    a, n = A.numpy(), len(A)
    (syrk,) = get_blas_funcs(("syrk",), (a,))
    by_columns = a.strides[0] <= a.strides[1]  # then a copy by the wrapper reads memory in order
    G = syrk(1.0, a, lower=1) if by_columns else syrk(1.0, a.T, trans=1, lower=1)
    if not _in_range(G.trace(), A.dtype):  # also NaN, with which LAPACK may not return
        return None
    try:
        _, V = eigh(G, lower=True, subset_by_index=(n - k, n - 1), overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    return torch.from_numpy(V.T[::-1].copy())
