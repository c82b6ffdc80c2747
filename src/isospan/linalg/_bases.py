"""Orthonormal bases: construction, signs, rotation of one onto another."""

import torch
from torch import Tensor

from isospan._core.checks import as_matrices, as_matrix, check_count, check_device, working_dtype
from isospan.errors import DimensionError, ShapeError
from isospan.linalg._decompositions import decomposition, qr, svd


def fix_signs(W: Tensor) -> Tensor:
    """Flip the signs of rows of W (k, D) so that the entry of largest magnitude in each row is positive.

    Entries that differ by rounding count as equal, and the first of them decides, so rounding cannot change a sign.

    Example:
        >>> import torch
        >>> fix_signs(torch.tensor([[0.0, -2.0, 1.0]]))
        tensor([[ 0.,  2., -1.]])
    """
    W = as_matrix(W, what="A basis")
    if not W.numel():
        return W
    magnitude = W.abs()
    among_largest = magnitude >= (1 - torch.finfo(W.dtype).eps ** 0.5) * magnitude.amax(-1, keepdim=True)
    largest = W.gather(-1, among_largest.to(torch.uint8).argmax(-1, keepdim=True))
    return W * torch.where(largest < 0, -1.0, 1.0).to(W.dtype) + 0.0


def orthonormal_rows(W: Tensor) -> Tensor:
    """Return an orthonormal basis (r, D) of the row span of W (k, D), r the numerical rank, at most min(k, D).

    Example:
        >>> import torch
        >>> orthonormal_rows(torch.tensor([[2.0, 0.0], [4.0, 0.0]])).abs()
        tensor([[1., 0.]])
    """
    W = as_matrix(W, what="A basis")
    if len(W) <= W.shape[1]:
        Q, R = qr(W.mT)
        if _independent(R):
            return Q.mT
    _, s, Vh = svd(W)
    return Vh[: _rank(W, s)]


@decomposition
def orthogonal_complement(W: Tensor, *, rank: int | None = None) -> Tensor:
    """Return an orthonormal basis (D - r, D) of the orthogonal complement of the rows of W (k, D), of numerical rank r.

    Where the rank is given, no value is looked at, so the function can be traced.

    Example:
        >>> import torch
        >>> orthogonal_complement(torch.tensor([[1.0, 0.0, 0.0], [2.0, 2.0, 0.0], [1.0, 2.0, 0.0]])).abs()
        tensor([[0., 0., 1.]])
    """
    W = as_matrix(W, what="A basis")
    if rank is not None and check_count(rank, what="rank", error=DimensionError) > min(W.shape):
        raise DimensionError(f"The rank of a basis {tuple(W.shape)} must be at most {min(W.shape)}, got {rank}.")
    if len(W) <= W.shape[1]:
        reflectors, tau = torch.geqrf(W.mT)
        if _independent(reflectors) if rank is None else rank == len(W):
            return torch.ormqr(reflectors, tau, torch.eye(W.shape[1], dtype=W.dtype, device=W.device)[:, len(W) :]).mT
    _, s, Vh = svd(W, full_matrices=True)
    return Vh[_rank(W, s) if rank is None else rank :]


def nested_frame(W: Tensor) -> Tensor:
    """Return orthonormal rows (k, D) such that the first j have the span of the first j rows of W, for every j.

    The rows of W (k, D) must be linearly independent.

    Example:
        >>> import torch
        >>> nested_frame(torch.tensor([[2.0, 0.0], [3.0, 4.0]]))
        tensor([[1., 0.],
                [0., 1.]])
    """
    W = as_matrix(W, what="A basis")
    _check_wide(W, what="A basis of independent rows")
    Q, R = qr(W.mT)
    return (Q * torch.where(R.diagonal() < 0, -1.0, 1.0).to(Q.dtype)).mT + 0.0


def complete_rows(W: Tensor, k: int) -> Tensor:
    """Add rows to orthonormal rows W (r, D) until there are k orthonormal rows; deterministic.

    Each new row is the part of a coordinate axis that is orthogonal to W. The axis is the one with the largest such
    part; of equal ones, the first. More than D rows are a DimensionError.

    Example:
        >>> import torch
        >>> complete_rows(torch.tensor([[0.0, 1.0, 0.0]]), 2)
        tensor([[0., 1., 0.],
                [1., 0., 0.]])
    """
    W = as_matrix(W, what="A basis")
    if check_count(k, what="k", error=DimensionError, least=0) > W.shape[1]:
        raise DimensionError(f"k must be at most D = {W.shape[1]}, the width of the basis, got {k}. Use a smaller k.")
    for _ in range(k - len(W)):
        left = 1 - W.square().sum(0)
        axis = int((left >= left.max() - torch.finfo(W.dtype).eps ** 0.5).to(torch.uint8).argmax())
        row = -W[:, axis] @ W
        row[axis] += 1
        row = row - (W @ row) @ W
        W = torch.cat([W, (row / torch.linalg.vector_norm(row)).unsqueeze(0)])
    return W


def nearest_frame(M: Tensor) -> Tensor:
    r"""Return the nearest matrix with orthonormal rows, :math:`(M M^\top)^{-1/2} M`, polar factor of M (k, D), k ≤ D.

    It maximises :math:`\operatorname{tr}(W M^\top)` over all W with orthonormal rows.

    Example:
        >>> import torch
        >>> nearest_frame(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]]))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    M = as_matrices(M, what="M")
    _check_wide(M, what="M")
    U, _, Vh = svd(M)
    return U @ Vh


def procrustes_rotation(W: Tensor, W_previous: Tensor) -> Tensor:
    r"""Return R W with the orthogonal R (k, k) that minimises :math:`\|R W - W_\text{prev}\|_F`; the span is unchanged.

    Example:
        >>> import torch
        >>> e = torch.eye(3)[:2]
        >>> procrustes_rotation(e.flip(0), e)
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    W, W_previous = as_matrix(W, what="W"), as_matrix(W_previous, what="W_previous")
    check_device(W_previous, W.device, what="W_previous", against="the rows of W")
    if W.shape != W_previous.shape:
        raise ShapeError(f"W and W_previous must have one shape, got {tuple(W.shape)} and {tuple(W_previous.shape)}.")
    dtype = working_dtype(W, W_previous)
    W, W_previous = W.to(dtype), W_previous.to(dtype)
    return nearest_frame(W_previous @ W.mT) @ W


def _check_wide(W: Tensor, *, what: str) -> None:
    """Require at most as many rows as columns: more are never linearly independent."""
    if W.shape[-2] > W.shape[-1]:
        raise ShapeError(f"{what} must have k rows of D ≥ k entries, got shape {tuple(W.shape)}.")


def _independent(R: Tensor) -> bool:
    """Whether the rows of W = Rᵀ Qᵀ are linearly independent beyond doubt, so that Q spans exactly the rows.

    An entry of the diagonal of R is the length of the part of a row that is orthogonal to the rows before it. It is
    compared with the largest sum of magnitudes in a row, since squares could underflow. R has no pivots, so it is not
    reliable near the cutoff of :func:`_rank`: hence a factor of 100.
    """
    if 0 in R.shape:
        return True
    left, longest = R.diagonal().abs().min(), R.triu().abs().sum(0).max()
    return bool(left > 100 * max(R.shape) * torch.finfo(R.dtype).eps * longest)


def _rank(W: Tensor, s: Tensor) -> int:
    return int((s > max(W.shape) * torch.finfo(W.dtype).eps * s[:1]).sum())
