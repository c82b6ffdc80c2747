"""Mutually orthogonal subspaces, found jointly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan.linalg import eigh, nearest_frame, pinv

MAX_STEPS = 300
LEAST_GAIN = 1e-8
SUFFICIENT_INCREASE = 1e-4
SHORTEST_STEP = 1e-10


def joint_frame(forms: Mapping[str, Tensor], metric: Tensor | None, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Maximise the sum of explained shares over one orthonormal frame of all bases.

    .. math::
        \max f(W) = \sum_q \operatorname{tr}\bigl[ (W_q G W_q^\top)^{-1} W_q H_q W_q^\top \bigr]
        \quad \text{subject to} \quad W_\text{all} W_\text{all}^\top = I

    Monotone ascent by nonlinear conjugate gradients (Polak-Ribière) on the manifold of frames: the gradient
    :math:`2 S_q W_q (H_q - \ldots)` is projected on the tangent space, a step is brought back by the polar factor, and
    its length is halved until f rises enough (Armijo). No step depends on the order of the names.

    Args:
        forms: H (D, D) of every quantity, symmetric; indefinite where something is to be avoided.
        metric: G (D, D), or None for the identity.
        start: bases {name: (k, D)} to start from, orthonormal rows each; the sum of k is at most D.

    Returns:
        Bases with orthonormal rows, also across quantities. A local optimum; iteration stops when the gain of a step
        is below 1e-8 of the value or after 300 steps.

    Source: Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, chapters 4 and 8.
    """
    sizes = [len(W) for W in start.values()]
    ordered = [forms[name] for name in start]

    def evaluate(W: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = zip(
            *(_share(W_q, H, metric) for W_q, H in zip(W.split(sizes), ordered, strict=True)), strict=True
        )
        return torch.stack(values).sum(), _tangent(W, torch.cat(gradients))

    W = nearest_frame(torch.cat(list(start.values())))
    value, gradient = evaluate(W)
    direction, length = gradient, 1.0
    for _ in range(MAX_STEPS):
        slope = (gradient * direction).sum()
        if slope <= 0:
            direction, slope = gradient, gradient.square().sum()
        while length > SHORTEST_STEP:
            W_new = _polar(W + length * direction)
            value_new, gradient_new = evaluate(W_new)
            if value_new >= value + SUFFICIENT_INCREASE * length * slope:
                break
            length /= 2
        else:
            break
        beta = _polak_ribiere(gradient_new, _tangent(W_new, gradient), gradient)
        direction = gradient_new + beta * _tangent(W_new, direction)
        gain, W, value, gradient, length = value_new - value, W_new, value_new, gradient_new, 2 * length
        if gain <= LEAST_GAIN * value.abs():
            break
    return dict(zip(start, W.split(sizes), strict=True))


def _share(W: Tensor, H: Tensor, G: Tensor | None) -> tuple[Tensor, Tensor]:
    """Value tr[S W H Wᵀ] with S = (W G Wᵀ)⁻¹, and half its gradient S W H - S W H Wᵀ S W G."""
    WG = W if G is None else W @ G
    S = pinv(WG @ W.mT, hermitian=True)
    X = S @ W @ H
    return (X @ W.mT).trace(), X - X @ W.mT @ S @ WG


def _tangent(W: Tensor, X: Tensor) -> Tensor:
    """Projection of X on the directions in which W stays orthonormal to first order."""
    XW = X @ W.mT
    return X - (XW + XW.mT) @ W / 2


def _polar(M: Tensor) -> Tensor:
    """Nearest frame of a tangent step from a frame: M Mᵀ is at least the identity, so its eigenvalues serve."""
    eigenvalues, Q = eigh(M @ M.mT)
    return (Q * eigenvalues.rsqrt()) @ (Q.mT @ M)


def _polak_ribiere(new: Tensor, old_moved: Tensor, old: Tensor) -> float:
    scale = old.square().sum()
    return max(0.0, float((new * (new - old_moved)).sum() / scale)) if float(scale) > 0 else 0.0
