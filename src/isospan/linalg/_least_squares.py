"""Least squares from second moments."""

import math

import torch
from torch import Tensor

from isospan._core.checks import as_floating, as_matrices, check_device, check_number
from isospan.errors import ShapeError
from isospan.linalg._decompositions import decomposition, eigh


@decomposition
def solve_gram(G: Tensor, C: Tensor, *, ridge: float = 0.0) -> Tensor:
    r"""Minimum-norm solution A of the normal equations :math:`(G + \lambda I) A = C`.

    The ridge is relative: :math:`\lambda = \text{ridge} \cdot \operatorname{tr}(G)/k`. Eigenvalues of G below
    k·eps times the largest count as zero, so a rank-deficient G gives the minimum-norm least squares solution. Where a
    Cholesky factor shows that none are, it solves the equations.

    Args:
        G: symmetric positive semi-definite (..., k, k).
        C: right-hand sides (..., k, P).
        ridge: weight relative to the mean variance, at least 0.

    Returns:
        A (..., k, P), in the dtype of G (float32 for half precision).

    Raises:
        ShapeError, DtypeError, NonFiniteError, DeviceMismatchError: of G and C.
        OptionError: the ridge is no number of at least 0.

    Example:
        >>> import torch
        >>> solve_gram(torch.diag(torch.tensor([2.0, 0.0])), torch.tensor([[4.0], [0.0]]))
        tensor([[2.],
                [0.]])
    """
    G, C = as_matrices(G, what="G", square=True), as_matrices(C, what="C")
    if G.shape[:-1] != C.shape[:-1] or not G.numel():
        raise ShapeError(
            f"G must have shape (..., k, k) and C (..., k, P) with k of at least 1, got {tuple(G.shape)} and "
            f"{tuple(C.shape)}."
        )
    check_device(C, G.device, what="C", against="the rows of G")
    ridge, C = check_number(ridge, what="ridge"), C.to(G.dtype)
    scale = power_of_two(G, (-2, -1))
    G, C = G / scale, C / scale
    shifted = G
    if ridge:
        shifted = G.clone()
        diagonal = shifted.diagonal(dim1=-2, dim2=-1)
        diagonal += ridge * diagonal.mean(-1, keepdim=True)
    L = torch.linalg.cholesky_ex(shifted)[0]
    by_pivots = _well_conditioned(L)
    if by_pivots.all():
        return torch.cholesky_solve(C, L)
    A = _spectral_solution(G, C, ridge)
    A[by_pivots] = torch.cholesky_solve(C[by_pivots], L[by_pivots])
    return A


def power_of_two(x: Tensor, dim: tuple[int, ...] = ()) -> Tensor:
    """The power of two that the largest entry of x, divided by it, is near 1; without gradient, by default of all axes.

    Squares of such entries neither overflow nor vanish, and the division is exact.

    Raises:
        ShapeError: x is empty, or has no such axis.
        DtypeError: x is no real tensor.

    Example:
        >>> import torch
        >>> power_of_two(torch.tensor([3e-21, -5e-21])) / 2**-68
        tensor(1.)
    """
    x = as_floating(x, what="x")
    if not x.numel() or not isinstance(dim, tuple) or not all(d in range(-x.dim(), x.dim()) for d in dim):
        raise ShapeError(f"x must have entries and the axes {dim!r:.80}, got shape {tuple(x.shape)}.")
    least = torch.finfo(x.dtype).tiny  # also where all are zero
    exponent = x.detach().abs().amax(dim, keepdim=bool(dim)).clamp(min=least).log2().floor()
    return exponent.clamp(max=-math.log2(least)).exp2()


def _spectral_solution(G: Tensor, C: Tensor, ridge: float) -> Tensor:
    eigenvalues, Q = eigh(G)
    cutoff = G.shape[-1] * torch.finfo(G.dtype).eps * eigenvalues[..., -1:].clamp(min=0)
    ridged = eigenvalues + ridge * eigenvalues.mean(-1, keepdim=True)
    inverse = torch.where(eigenvalues > cutoff, 1 / ridged, 0.0)
    return Q @ (inverse.unsqueeze(-1) * (Q.mT @ C))


def _well_conditioned(L: Tensor) -> Tensor:
    """Where the pivots of a Cholesky factor show full rank beyond doubt (NaN, after a failure, does not)."""
    smallest, largest = L.diagonal(dim1=-2, dim2=-1).aminmax(dim=-1)
    return smallest > torch.finfo(L.dtype).eps ** 0.375 * largest
