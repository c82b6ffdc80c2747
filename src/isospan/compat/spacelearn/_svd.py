"""Singular value decompositions by the ``solver_mode`` of spacelearn.

Each takes a matrix or a batch of them (..., m, n). Values are descending, and r = min(m, n). Half precision is computed
in float32. A matrix that is empty, not real or not finite is an error of :mod:`isospan.errors`.

Example:
    >>> import torch
    >>> A = torch.diag(torch.tensor([1.0, 3.0, 2.0]))
    >>> singular_values(A)
    tensor([3., 2., 1.])
    >>> U, S = left(A)
    >>> U.shape, S.shape
    (torch.Size([3, 3]), torch.Size([3]))
"""

import logging

import torch
from torch import Tensor

from isospan._core.checks import as_floating, as_matrices
from isospan.compat.spacelearn.settings import config
from isospan.errors import ShapeError
from isospan.linalg import eigh, qr, svd, svdvals

logger = logging.getLogger("isospan")


def left(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return (U, S): left singular vectors (m, r) and singular values (r,)."""
    return full(A)[:2]


def right(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return (Vh, S): right singular vectors as rows (r, n) and singular values (r,)."""
    _, S, Vh = full(A)
    return Vh, S


def full(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (U, S, Vh) with A = U diag(S) Vh, shapes (m, r), (r,), (r, n)."""
    A = _matrix(A)
    if config.solver_mode == "eigen":
        return _from_gram(A)
    try:
        return svd(A, full_matrices=config.use_full_matrix)
    except torch.linalg.LinAlgError:
        if config.solver_mode == "svd":
            raise
        logger.warning("The SVD of a %s matrix did not converge; using its Gram matrix.", tuple(A.shape))
        return _from_gram(A)


def singular_values(A: Tensor) -> Tensor:
    """Return the r singular values of A (m, n), descending."""
    A = _matrix(A)
    return full(A)[1] if config.solver_mode == "eigen" else svdvals(A)


def _matrix(A: Tensor) -> Tensor:
    A = as_floating(A, what="The matrix")
    if A.dim() < 2 or A.numel() == 0:
        raise ShapeError(f"A decomposition needs a non-empty matrix (m, n), got shape {tuple(A.shape)}.")
    return as_matrices(A, what="The matrix")


def _from_gram(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solve A Aᵀ = U S² Uᵀ for the shorter side; the other vectors are those of Aᵀ U = V S, by QR also where S = 0."""
    m, n = A.shape[-2:]
    if m > n:
        U, S, Vh = _from_gram(A.mT)
        return Vh.mT, S, U.mT
    eigenvalues, eigenvectors = eigh((A @ A.mT).double())
    U, S = eigenvectors.flip(-1).to(A.dtype), eigenvalues.flip(-1).clamp(min=0).sqrt().to(A.dtype)
    Q, R = qr(A.mT @ U, complete=config.use_full_matrix)
    signs = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(Q.dtype)
    return U, S, torch.cat([Q[..., :m] * signs.unsqueeze(-2), Q[..., m:]], dim=-1).mT
