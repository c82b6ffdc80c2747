"""Singular value decompositions under the process-wide policy of :mod:`isospan.settings`.

The policy decides how, never what: ``"auto"`` is exact at every size. Results are descending.

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

from isospan._checks import check_finite, check_floating, working_dtype
from isospan.errors import ShapeError
from isospan.settings import config

logger = logging.getLogger("isospan")

SVD = tuple[Tensor, Tensor, Tensor]


def left(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return (U, S): left singular vectors (m, r) and singular values (r,), with r = min(m, n)."""
    U, S, _ = _decompose(A)
    return U, S


def right(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return (Vh, S): right singular vectors as rows (r, n) and singular values (r,), with r = min(m, n)."""
    _, S, Vh = _decompose(A)
    return Vh, S


def full(A: Tensor) -> SVD:
    """Return (U, S, Vh) with A = U diag(S) Vh, shapes (m, r), (r,), (r, n)."""
    return _decompose(A)


def singular_values(A: Tensor) -> Tensor:
    """Return the min(m, n) singular values of A (m, n), descending."""
    _check_matrix(A)
    if config.solver_mode in ("auto", "svd"):
        return torch.linalg.svdvals(_prepared(A)).to(A.device)
    return _decompose(A)[1]


def _decompose(A: Tensor) -> SVD:
    _check_matrix(A)
    U, S, Vh = _SOLVERS[config.solver_mode](_prepared(A))
    return U.to(A.device), S.to(A.device), Vh.to(A.device)


def _check_matrix(A: Tensor) -> None:
    check_floating(A, what="The matrix")
    if A.dim() < 2 or A.numel() == 0:
        raise ShapeError(f"A decomposition needs a non-empty matrix (m, n), got shape {tuple(A.shape)}.")
    check_finite(A, what="The matrix")


def _prepared(A: Tensor) -> Tensor:
    """Half precision has no decompositions: it is computed in float32."""
    A = A.to(working_dtype(A))
    return A.cpu() if config.use_cpu_fallback else A


def _exact(A: Tensor) -> SVD:
    return torch.linalg.svd(A, full_matrices=config.use_full_matrix)


def _exact_or_gram(A: Tensor) -> SVD:
    try:
        return _exact(A)
    except torch.linalg.LinAlgError:
        logger.warning("The SVD of a %s matrix did not converge; using its Gram matrix.", tuple(A.shape))
        return _from_gram(A)


def _from_gram(A: Tensor) -> SVD:
    """A Aᵀ = U S² Uᵀ on the shorter side; the other vectors follow from Aᵀ U = V S, completed by QR where S = 0."""
    m, n = A.shape[-2:]
    if m > n:
        U, S, Vh = _from_gram(A.mT)
        return Vh.mT, S, U.mT
    eigenvalues, eigenvectors = torch.linalg.eigh((A @ A.mT).double())
    U = eigenvectors.flip(-1).to(A.dtype)
    S = eigenvalues.flip(-1).clamp(min=0).sqrt().to(A.dtype)
    return U, S, _orthonormal_completion(A.mT @ U).mT


def _orthonormal_completion(V_scaled: Tensor) -> Tensor:
    """Orthonormal columns whose span and order are those of V diag(S), also where S = 0."""
    mode = "complete" if config.use_full_matrix else "reduced"
    Q, R = torch.linalg.qr(V_scaled, mode=mode)
    signs = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(Q.dtype)
    r = signs.shape[-1]
    return torch.cat([Q[..., :r] * signs.unsqueeze(-2), Q[..., r:]], dim=-1)


def _randomised(A: Tensor) -> SVD:
    U, S, V = torch.svd_lowrank(A, q=min(A.shape[-2:]), niter=config.n_lowrank_iters)
    return U, S, V.mT


_SOLVERS = {"auto": _exact_or_gram, "svd": _exact, "eigen": _from_gram, "lowrank": _randomised}
