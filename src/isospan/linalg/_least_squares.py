"""Least squares from second moments."""

import math

import torch
from torch import Tensor

from isospan._core.checks import as_floating, as_matrices, check_device, check_number
from isospan.errors import ShapeError
from isospan.linalg._decompositions import decomposition, eigh


@decomposition
def solve_gram(G: Tensor, C: Tensor, *, ridge: float = 0.0) -> Tensor:
    r"""Return the minimum-norm solution A of the normal equations :math:`(G + \lambda I) A = C`.

    The ridge is relative to the mean variance: :math:`\lambda = \text{ridge} \cdot \operatorname{tr}(G)/k`, so A does
    not depend on the unit or the number of samples. Eigenvalues of G below k·eps times the largest count as zero, so a
    rank-deficient G gives the minimum-norm least squares solution. The equations are solved by a Cholesky factor if
    that shows full rank, else by eigenvectors.

    Args:
        G: symmetric positive semi-definite (..., k, k).
        C: right-hand sides (..., k, P).
        ridge: relative to the mean variance tr(G)/k, at least 0.

    Returns:
        A (..., k, P), in the dtype of G (float32 for half precision).

    Raises:
        ShapeError: G or C has another shape.
        DtypeError: G or C is not real floating point.
        NonFiniteError: G or C contains NaN or infinity.
        DeviceMismatchError: G and C are on two devices.
        OptionError: the ridge is not a number of at least 0.

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
    """Return a power of two near the largest magnitude in x, over the given axes or all; it has no gradient.

    Division by it is exact, and squares of the quotients neither overflow nor become zero.

    Raises:
        ShapeError: x is empty, or has no such axis.
        DtypeError: x is not real floating point.

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
    """Whether the pivots of a Cholesky factor show full rank beyond doubt; NaN, from a failure, does not."""
    smallest, largest = L.diagonal(dim1=-2, dim2=-1).aminmax(dim=-1)
    return smallest > torch.finfo(L.dtype).eps ** 0.375 * largest
