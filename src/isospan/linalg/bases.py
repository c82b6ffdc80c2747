"""Orthonormal bases: making them, fixing their signs, turning one onto another."""

import torch
from torch import Tensor


def fix_signs(W: Tensor) -> Tensor:
    """Flip the rows of W (k, D) so that the entry of largest magnitude in each is positive (the first, if several).

    Example:
        >>> import torch
        >>> fix_signs(torch.tensor([[0.0, -2.0, 1.0]]))
        tensor([[ 0.,  2., -1.]])
    """
    largest = W.gather(-1, W.abs().argmax(-1, keepdim=True))
    return W * torch.where(largest < 0, -1.0, 1.0).to(W.dtype) + 0.0


def orthonormal_rows(W: Tensor) -> Tensor:
    """Return an orthonormal basis (r, D) of the row span of W (k, D), r the numerical rank, at most min(k, D).

    Example:
        >>> import torch
        >>> orthonormal_rows(torch.tensor([[2.0, 0.0], [4.0, 0.0]])).abs()
        tensor([[1., 0.]])
    """
    _, S, Vh = torch.linalg.svd(W, full_matrices=False)
    tolerance = S.max() * max(W.shape) * torch.finfo(W.dtype).eps
    return Vh[S > tolerance]


def nearest_frame(M: Tensor) -> Tensor:
    r"""Return the nearest matrix with orthonormal rows, the polar factor :math:`(M M^\top)^{-1/2} M` of M (k, D), k ≤ D.

    It maximises :math:`\operatorname{tr}(W M^\top)` over all W with orthonormal rows.

    Example:
        >>> import torch
        >>> nearest_frame(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]]))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    U, _, Vh = torch.linalg.svd(M, full_matrices=False)
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
    return nearest_frame(W_previous @ W.mT) @ W
