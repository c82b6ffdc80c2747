"""Squared singular values of a matrix from its smaller Gram matrix, in float64."""

import torch
from torch import Tensor

from isospan._core.checks import as_floating, as_matrices, as_matrix
from isospan.errors import DtypeError, ShapeError
from isospan.linalg._decompositions import decomposition

BLOCK = 128
"""Rows of a Gram matrix that are mirrored at a time."""


def gram_spectrum(x: Tensor) -> Tensor:
    r"""Return the squared singular values of X (N, P), the eigenvalues of the smaller of :math:`X X^\top, X^\top X`.

    They are computed in float64 for every dtype of X. Their absolute error is about eps = 2e-16 times the largest. So
    their sums are exact to rounding, but singular values below 1e-8 of the largest are lost; use
    :func:`isospan.linalg.svdvals` if these matter.

    Args:
        x: matrix (N, P); for variances, with columns of mean 0.

    Returns:
        min(N, P) eigenvalues, descending, at least 0, float64.

    Example:
        >>> import torch
        >>> gram_spectrum(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]))
        tensor([16.,  9.], dtype=torch.float64)
    """
    x = as_matrix(x, what="The matrix").double()
    x = x.mT if x.shape[0] <= x.shape[1] else x
    return symmetric_spectrum(add_gram_(x.new_zeros(x.shape[1], x.shape[1]), x))


@decomposition
def symmetric_spectrum(G: Tensor) -> Tensor:
    """Return the eigenvalues of a positive semi-definite matrix (n, n), descending; negative rounding errors become 0.

    Only the upper triangle is read.

    Example:
        >>> import torch
        >>> symmetric_spectrum(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor([2., 1.])
    """
    G = as_matrices(G, what="The matrix", square=True)
    return torch.linalg.eigvalsh(G, UPLO="U").flip(-1).clamp(min=0)


def add_gram_(G: Tensor, x: Tensor) -> Tensor:
    r"""Add :math:`X^\top X` of X (N, P) to the upper triangle of G (P, P) in place.

    On the CPU, ``syrk`` of BLAS takes half the time of the product. Entries below the diagonal are undefined until
    :func:`mirror_` is called.

    Raises:
        DtypeError: X and G are not both float32 or both float64.
        ShapeError: G is not a contiguous matrix (P, P).

    Example:
        >>> import torch
        >>> mirror_(add_gram_(torch.zeros(2, 2), torch.tensor([[1.0, 2.0], [0.0, 1.0]])))
        tensor([[1., 2.],
                [2., 5.]])
    """
    x = as_floating(x, what="X")
    _check_in_place(G)
    if x.dim() != 2:
        raise ShapeError(f"X must have shape (N, P), got {tuple(x.shape)}.")
    if G.dtype != x.dtype or G.dtype not in (torch.float32, torch.float64):
        raise DtypeError(
            f"X and G must both be float32 or both float64, got {x.dtype} and {G.dtype}. Convert X to the type of G."
        )
    if G.shape != (x.shape[1], x.shape[1]) or not G.is_contiguous():
        raise ShapeError(
            f"G must be contiguous and of shape (P, P) with P = {x.shape[1]} columns of X, got {tuple(G.shape)} with "
            f"strides {G.stride()}. Sum into a tensor of its own."
        )
    if G.device.type != "cpu":
        return G.addmm_(x.mT, x)
    if x.numel() == 0:
        return G  # BLAS wrappers refuse an empty matrix
    from scipy.linalg import get_blas_funcs

    columns = x.detach().numpy().T  # (P, N), column-major for BLAS if x is contiguous
    a, trans = (columns, 0) if columns.flags.f_contiguous else (columns.T, 1)
    (syrk,) = get_blas_funcs(("syrk",), (a,))
    syrk(1.0, a, beta=1.0, c=G.detach().numpy().T, trans=trans, lower=1, overwrite_c=1)
    return G


def mirror_(G: Tensor) -> Tensor:
    """Copy the upper triangle of G (P, P) onto the lower one, in place."""
    _check_in_place(G)
    if G.dim() != 2 or G.shape[0] != G.shape[1]:
        raise ShapeError(f"G must have shape (P, P), got {tuple(G.shape)}.")
    for start in range(0, len(G), BLOCK):
        rows = slice(start, start + BLOCK)
        if rows.stop < len(G):
            G[rows.stop :, rows] = G[rows, rows.stop :].mT
        square = G[rows, rows].triu_()
        square += square.triu(1).mT
    return G


def _check_in_place(G: Tensor) -> None:
    if not isinstance(G, Tensor):
        raise DtypeError(f"G must be a torch.Tensor, which is changed in place, got {type(G).__name__}.")
