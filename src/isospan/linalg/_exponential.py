"""The matrix exponential, with a derivative that is accurate for gradients of any size."""

from typing import Any

import torch
from torch import Tensor

from isospan._core.checks import as_matrices


def matrix_exp(X: Tensor) -> Tensor:
    r"""Return the exponential of square matrices X (..., n, n), with all derivatives; NaN gives NaN.

    The derivative L(X, T) along T is a block of an exponential (Mathias, 1996),

    .. math:: \exp \begin{pmatrix} X & T \\ 0 & X \end{pmatrix}
              = \begin{pmatrix} e^X & L(X, T) \\ 0 & e^X \end{pmatrix} ,

    L is linear in T, so it is computed for T of norm 1 and multiplied by the norm. Otherwise a large norm of T makes
    the exponential square more often, and each squaring loses digits: a loss that is multiplied by 1e4 loses four.

    Example:
        >>> X = torch.zeros(2, 2, requires_grad=True)
        >>> (1e8 * matrix_exp(X)).sum().backward()
        >>> X.grad / 1e8
        tensor([[1., 1.],
                [1., 1.]])
    """
    return _exponential(as_matrices(X, what="X", square=True, finite=False))


def _exponential(X: Tensor) -> Tensor:
    kind = MatrixExp if torch.compiler.is_compiling() else MatrixExpForwards  # torch.compile does not trace jvp
    return kind.apply(X)  # pyright: ignore[reportReturnType]


class MatrixExp(torch.autograd.Function):
    """The matrix exponential and its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(X: Tensor) -> Tensor:
        """Return the exponential."""
        return torch.linalg.matrix_exp(X)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Save X."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the adjoint of the derivative, which is the derivative at Xᵀ."""
        (X,) = ctx.saved_tensors
        return _derivative(X.mT, gradient)


class MatrixExpForwards(MatrixExp):
    """The matrix exponential with forward-mode derivatives too, for ``torch.func.jvp``, ``jacfwd`` and ``hessian``."""

    @staticmethod
    def jvp(ctx: Any, T: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the derivative along T."""
        (X,) = ctx.saved_tensors
        return _derivative(X, T)


def _derivative(X: Tensor, T: Tensor) -> Tensor:
    """Return L(X, T)."""
    n = X.shape[-1]
    norm = torch.linalg.matrix_norm(T.detach(), 1, keepdim=True)
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    upper, lower = torch.cat([X, T / norm], dim=-1), torch.cat([torch.zeros_like(X), X], dim=-1)
    return norm * _exponential(torch.cat([upper, lower], dim=-2))[..., :n, n:]
