"""Gram matrices with a cheap gradient, and spectra from them."""

from typing import Any

import torch
from torch import Tensor


class _Gram(torch.autograd.Function):
    """G = Xᵀ X; since G is symmetric, dL/dX = X (dL/dG + dL/dGᵀ) takes one product where autograd takes two."""

    @staticmethod
    def forward(ctx: Any, X: Tensor) -> Tensor:
        ctx.save_for_backward(X)
        return X.mT @ X

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (X,) = ctx.saved_tensors
        return X @ (gradients[0] + gradients[0].mT)


def gram(X: Tensor) -> Tensor:
    r"""Return :math:`X^\top X` (n, n) of X (m, n); differentiable, with a backward pass of one matrix product.

    Example:
        >>> import torch
        >>> gram(torch.tensor([[3.0, 0.0], [4.0, 1.0]]))
        tensor([[25.,  4.],
                [ 4.,  1.]])
    """
    return _Gram.apply(X)  # type: ignore[return-value]


def leading_singular_values(X: Tensor, n: int) -> Tensor:
    r"""Return the n largest singular values of X (m, n'), descending, with a gradient that is finite everywhere.

    With the leading eigenvectors V of the smaller Gram matrix held constant, :math:`s_i = \|X v_i\|`. This is the
    singular value to second order in the error of v, and its derivative, :math:`u_i^\top dX \, v_i`, is that of the
    singular value (Hellmann-Feynman). No difference of singular values occurs, so ties are harmless for any symmetric
    function of them; where s = 0 the derivative is 0. Second derivatives are not those of the singular values.

    Args:
        X: matrix, differentiable.
        n: how many, at most min(X.shape).

    Raises:
        torch.linalg.LinAlgError: X contains NaN or infinity.

    Example:
        >>> import torch
        >>> leading_singular_values(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
        tensor([3., 2.])
    """
    if X.shape[0] < X.shape[1]:
        X = X.mT
    fixed = X.detach()
    V = torch.linalg.eigh(fixed.mT @ fixed)[1][:, -n:].flip(-1)
    return torch.linalg.vector_norm(X @ V, dim=0)
