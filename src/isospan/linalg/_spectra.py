"""Singular value decompositions with the ``solver_mode`` of :mod:`isospan.settings`.

The mode selects the algorithm; the number of singular values is always min(m, n). ``"auto"`` is exact at every size,
and so is ``"lowrank"`` for all singular vectors. Results are descending. Half precision is computed in float32.

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

from isospan._core.checks import as_floating, as_matrices, check_count
from isospan.errors import DimensionError, ShapeError
from isospan.linalg._decompositions import decomposition, eigh, qr, svd, svdvals
from isospan.settings import config

logger = logging.getLogger("isospan")

SVD = tuple[Tensor, Tensor, Tensor]
OVERSAMPLING = 8
"""Random vectors in addition to the requested rank."""


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
    A = _matrix(A)
    if config.solver_mode in ("auto", "svd"):
        return svdvals(A)
    return _decompose(A)[1]


def randomised_svd(A: Tensor, rank: int) -> SVD:
    r"""Return ``rank`` leading singular vectors and values of A (m, n), approximately: (m, r), (r,), (r, n).

    The range of :math:`(A A^\top)^i A` is computed from ``rank`` + 8 random vectors, with i = ``n_lowrank_iters``. The
    vectors are the same on every call, from a generator of their own.

    Source: Halko, Martinsson and Tropp, Finding structure with randomness, 2011, algorithm 4.4.

    Example:
        >>> import torch
        >>> randomised_svd(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 2)[1].round(decimals=4)
        tensor([3., 2.])
    """
    A = _matrix(A)
    check_count(rank, what="rank", error=DimensionError)
    m, n = A.shape[-2:]
    generator = torch.Generator(A.device).manual_seed(0)
    start = torch.randn(n, min(rank + OVERSAMPLING, m, n), generator=generator, dtype=A.dtype, device=A.device)
    Q, _ = qr(A @ start)
    for _ in range(config.n_lowrank_iters):
        Q, _ = qr(A @ qr(A.mT @ Q)[0])
    U, S, Vh = svd(Q.mT @ A)
    return (Q @ U)[..., :rank], S[..., :rank], Vh[..., :rank, :]


@decomposition
def _decompose(A: Tensor) -> SVD:
    return _SOLVERS[config.solver_mode](_matrix(A))


def _matrix(A: Tensor) -> Tensor:
    A = as_floating(A, what="The matrix")
    if A.dim() < 2 or A.numel() == 0:
        raise ShapeError(f"A decomposition needs a non-empty matrix (m, n), got shape {tuple(A.shape)}.")
    return as_matrices(A, what="The matrix")


def _exact(A: Tensor) -> SVD:
    return svd(A, full_matrices=config.use_full_matrix)


def _exact_or_gram(A: Tensor) -> SVD:
    try:
        return _exact(A)
    except torch.linalg.LinAlgError:
        logger.warning("The SVD of a %s matrix did not converge; using its Gram matrix.", tuple(A.shape))
        return _from_gram(A)


def _from_gram(A: Tensor) -> SVD:
    """Solve A Aᵀ = U S² Uᵀ for the shorter side; the other vectors are those of Aᵀ U = V S, by QR also where S = 0."""
    m, n = A.shape[-2:]
    if m > n:
        U, S, Vh = _from_gram(A.mT)
        return Vh.mT, S, U.mT
    eigenvalues, eigenvectors = eigh((A @ A.mT).double())
    U = eigenvectors.flip(-1).to(A.dtype)
    S = eigenvalues.flip(-1).clamp(min=0).sqrt().to(A.dtype)
    return U, S, _orthonormal_completion(A.mT @ U).mT


def _orthonormal_completion(V_scaled: Tensor) -> Tensor:
    """Return orthonormal columns V from V diag(S), completed where S = 0."""
    Q, R = qr(V_scaled, complete=config.use_full_matrix)
    signs = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(Q.dtype)
    r = signs.shape[-1]
    return torch.cat([Q[..., :r] * signs.unsqueeze(-2), Q[..., r:]], dim=-1)


def _randomised(A: Tensor) -> SVD:
    U, S, Vh = randomised_svd(A, min(A.shape[-2:]))
    return _orthonormal_completion(U), S, _orthonormal_completion(Vh.mT).mT


_SOLVERS = {"auto": _exact_or_gram, "svd": _exact, "eigen": _from_gram, "lowrank": _randomised}
