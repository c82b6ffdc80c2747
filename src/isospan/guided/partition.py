"""Mutually orthogonal subspaces, found jointly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan.guided.criteria import Criterion
from isospan.linalg import nearest_frame

MAX_STEPS = 500
LEAST_GAIN = 1e-10


def joint_frame(criterion: Criterion, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Maximise the sum of explained shares over one orthonormal frame of all bases.

    .. math:: \max \sum_q f_q(W_q) / v_q \quad \text{subject to} \quad W_\text{all} W_\text{all}^\top = I

    For fixed decoders :math:`A_q = (W_q G W_q^\top)^{-1} W_q T_q` the unexplained variance is quadratic in W; with
    the basis of each subspace turned so that :math:`A_q A_q^\top = \operatorname{diag}(b)`, a bound of its curvature is
    :math:`L = b \, \lambda_\text{max}(G)` a row. Rows have unit length, so the bound is least at the polar factor of
    :math:`L W - (A A^\top W G - A T^\top)`. Each step raises the sum. With G = I it is the polar iteration
    :math:`W \leftarrow \operatorname{polar}(W_q T_q T_q^\top)`. No step depends on the order of the names.

    Args:
        criterion: metric, cross-moments and scales.
        start: bases {name: (k, D)} to start from, orthonormal rows each; the sum of k is at most D.

    Returns:
        Bases with orthonormal rows, also across quantities, leading directions first. A local optimum; iteration
        stops when the relative gain of a step is below 1e-10 or after 500 steps.
    """
    H = {name: T @ T.mT / criterion.scale[name] for name, T in criterion.cross.items()}
    G = criterion.metric
    bound = 1.0 if G is None else float(torch.linalg.eigvalsh(G)[-1])
    W, value = _joint_polar(start), 0.0
    for _ in range(MAX_STEPS):
        steps = {name: _ascent(W_q, H[name], G, bound) for name, W_q in W.items()}
        gain = sum(f for _, f in steps.values()) - value
        value += gain
        if gain <= LEAST_GAIN * value:
            break
        W = _joint_polar({name: step for name, (step, _) in steps.items()})
    return {name: _principal_axes(W_q, H[name]) for name, W_q in W.items()}


def _ascent(W: Tensor, H: Tensor, G: Tensor | None, bound: float) -> tuple[Tensor, float]:
    """Rows L W - gradient in the basis where A Aᵀ is diagonal, and the value f of W."""
    WG = W if G is None else W @ G
    inverse = torch.linalg.pinv(WG @ W.mT, hermitian=True)
    AT = inverse @ (W @ H)
    b, R = torch.linalg.eigh(AT @ W.mT @ inverse)
    b = b.clamp(min=0).unsqueeze(-1)
    step = R.mT @ AT + b * (bound * (R.mT @ W) - R.mT @ WG)
    return step + 1e-14 * bound * b.max() * (R.mT @ W), float((AT @ W.mT).trace())


def _joint_polar(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    frame = nearest_frame(torch.cat(list(rows.values())))
    return dict(zip(rows, frame.split([len(block) for block in rows.values()]), strict=True))


def _principal_axes(W: Tensor, H: Tensor) -> Tensor:
    """The basis of the same subspace whose rows are uncorrelated in H, the leading first."""
    return torch.linalg.eigh(W @ H @ W.mT)[1].flip(-1).mT @ W
