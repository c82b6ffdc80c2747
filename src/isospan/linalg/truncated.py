"""The leading singular subspace of a matrix, exactly, without the rest of the decomposition."""

import torch
from torch import Tensor

from isospan.linalg.spectra import left
from isospan.settings import config

SMALL = 128
"""Side up to which a float64 decomposition costs no more than refining a float32 one."""
TOLERANCE = 1e-11
"""Angle (radians) to which the subspace is refined."""
ACCEPTED = 1e-8
"""Largest angle accepted where rounding stops the refinement; beyond it an SVD decides."""
SMALLEST_RATIO = 1e-3
"""Ratio of singular values below which squaring them costs too many digits."""


def top_left_singular(C: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""Return the k leading left singular vectors of C as rows, and their singular values.

    With ``solver_mode="auto"`` they come from the Gram matrix G of the shorter side: at once in float64 where that is
    small, else from a decomposition :math:`E \Lambda E^\top` in float32 that is refined with residuals in float64,

    .. math:: R = V G - \Theta V, \qquad V \leftarrow \operatorname{orth}\Bigl(
              V + \tfrac{R E}{\theta_i - \lambda_j} E^\top \Bigr),

    where E and λ are those outside the leading k. The angle to the wanted subspace, bounded by
    :math:`\|R\| / (\theta_k - \lambda_{k+1})` (Davis and Kahan), shrinks at each step by the error of E, so one to
    three steps reach rounding. Where singular values spread too far for a Gram matrix, or the angle does not shrink,
    the full SVD decides. The other modes truncate :func:`isospan.linalg.left`.

    Args:
        C: matrix (D, P), float64.
        k: how many, at most min(D, P).

    Returns:
        W (k, D) with orthonormal rows, and s (k,), descending. Signs are not fixed.

    Source: Davis and Kahan, The rotation of eigenvectors by a perturbation III, 1970; Dongarra, Moler and Wilkinson,
    Improving the accuracy of computed eigenvalues and eigenvectors, 1983.

    Example:
        >>> import torch
        >>> W, s = top_left_singular(torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)), 2)
        >>> W.abs(), s
        (tensor([[0., 1., 0.],
                [0., 0., 1.]], dtype=torch.float64), tensor([3., 2.], dtype=torch.float64))
    """
    if config.solver_mode == "auto":
        leading = _from_gram(C.cpu() if config.use_cpu_fallback else C, k)
        if leading is not None:
            return leading[0].to(C.device), leading[1].to(C.device)
    U, s = left(C)
    return U[:, :k].mT.contiguous(), s[:k]


def _from_gram(C: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Leading left singular vectors from the shorter side, or None where they would not be exact."""
    scale = float(C.abs().max())
    if scale == 0:
        return None
    A = (C if C.shape[0] <= C.shape[1] else C.mT) / scale
    V = _decomposed(A, k) if len(A) <= SMALL or 4 * k > len(A) else _refined(A, k)
    if V is None:
        return None
    VA = V @ A
    s = torch.linalg.vector_norm(VA, dim=1)
    if not float(s[0]) > SMALLEST_RATIO * float(s[-1]):
        return None
    W = V if C.shape[0] <= C.shape[1] else VA / s.unsqueeze(1)
    return W.flip(0), s.flip(0) * scale


def _decomposed(A: Tensor, k: int) -> Tensor:
    """The k leading left singular vectors of A (n, m), n ≤ m, as rows, the last one leading."""
    return torch.linalg.eigh(A @ A.mT)[1][:, len(A) - k :].mT


def _refined(A: Tensor, k: int) -> Tensor | None:
    """The same from float32 vectors refined in float64; None where they stay too rough."""
    single = A.float()
    eigenvalues, E = torch.linalg.eigh(single @ single.mT)
    rest, outside = E[:, :-k], eigenvalues[:-k]
    V, angle = E[:, -k:].mT.to(A.dtype), 1.0
    while True:
        V, VA, theta = _ritz(V, A)
        residual = VA @ A.mT - theta.unsqueeze(1) * V
        previous, angle = angle, _angle_bound(residual, theta[0] - outside[-1])
        V = V + (((residual.float() @ rest) / (theta.float().unsqueeze(1) - outside)) @ rest.mT).to(V.dtype)
        if angle * angle / previous <= TOLERANCE or (angle <= ACCEPTED and angle >= previous / 4):
            return _ritz(V, A)[0]
        if angle >= previous / 4:
            return None


def _ritz(V: Tensor, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that span those of V, orthonormal and with orthogonal images V A; and the squares of these, ascending."""
    V = torch.linalg.qr(V.mT)[0].mT
    VA = V @ A
    theta, R = torch.linalg.eigh(VA @ VA.mT)
    return R.mT @ V, R.mT @ VA, theta


def _angle_bound(residual: Tensor, gap: Tensor) -> float:
    return float(torch.linalg.vector_norm(residual) / gap) if bool(gap > 0) else float("inf")
