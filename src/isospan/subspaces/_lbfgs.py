"""L-BFGS for many functions at once, each with its own step lengths and curvature."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from isospan.subspaces._patterns import reciprocal

MEMORY = 10
"""Pairs of a step and its change of the gradient that approximate the curvature of a function."""
SUFFICIENT = 1e-4
"""Least decrease of an accepted step, as a fraction of the one that the slope predicts (Armijo)."""
SHRINKAGE = (0.1, 0.5)
"""Bounds of the factor by which a refused step is shortened."""
TOLERANCE = 1e-9
"""Predicted decrease, relative to the value at the start, at which a function counts as minimised."""
CURVED = 1e-10
"""Least cosine of the angle between a step and the change of the gradient, for a pair to be kept."""

Values = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps points (N, r) to the values (N,) and the gradients (N, r) of N functions."""


class Minimum(NamedTuple):
    """The least finite value that each function was found to have.

    Attributes:
        x: points (N, r).
        failed: whether a point of the function was refused since its value was not finite (N,).
    """

    x: Tensor
    failed: Tensor


def minimise(f: Values, x: Tensor, step: Tensor, *, calls: int) -> Minimum:
    r"""Minimise N functions from x (N, r) with a number of calls of f, each of which computes all N.

    A step is accepted where it decreases the value by :math:`10^{-4}` of what the slope predicts; else it is shortened
    by the minimum of the cubic through both values and slopes. No result depends on another function. A point whose
    value or gradient is not finite is refused.

    Args:
        f: values and gradients.
        x: first points.
        step: first steps, where they go downhill; elsewhere the first step follows the gradient.
        calls: number of calls of f, at least 1.

    Source: Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5, and equation 3.59.

    Example:
        >>> scale = torch.tensor([[1.0, 10.0], [2.0, 0.5]], dtype=torch.float64)
        >>> square = lambda x: ((scale * (x - 1) ** 2).sum(1) / 2, scale * (x - 1))
        >>> start = torch.zeros(2, 2, dtype=torch.float64)
        >>> minimise(square, start, start, calls=20).x.round(decimals=4)
        tensor([[1., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    value, gradient = f(x)
    failed = ~_finite(value, gradient)
    value = torch.where(failed, torch.inf, value)
    gradient = torch.where(failed[:, None], 0.0, gradient)
    direction, length = _first(value, gradient, step), torch.ones_like(value)
    steps = torch.zeros(MEMORY, *x.shape, dtype=x.dtype, device=x.device)
    changes = torch.zeros_like(steps)
    slope = _dot(gradient, direction)
    least = TOLERANCE * torch.where(failed, 0.0, value)
    done = ~failed & (-slope <= least)
    for _ in range(calls - 1):
        if done.all():
            break
        taken = length[:, None] * direction
        new_value, new_gradient = f(x + torch.where(done[:, None], 0.0, taken))
        finite = _finite(new_value, new_gradient)
        failed |= ~finite & ~done
        new_gradient = torch.where(finite[:, None], new_gradient, 0.0)
        accepted = finite & ~done & (new_value <= value + SUFFICIENT * length * slope)
        shortened = length * _shrinkage(value, slope, new_value, _dot(new_gradient, direction), length, finite)
        change = new_gradient - gradient
        curvature = _dot(taken, change)
        kept = accepted & value.isfinite() & (curvature > CURVED * _norm(taken) * _norm(change))
        steps, changes = (
            torch.where(kept[:, None], torch.cat([old[1:], new[None]]), old)
            for old, new in ((steps, taken), (changes, change))
        )
        x = torch.where(accepted[:, None], x + taken, x)
        value = torch.where(accepted, new_value, value)
        gradient = torch.where(accepted[:, None], new_gradient, gradient)
        direction = torch.where(accepted[:, None], _direction(gradient, value, steps, changes), direction)
        length = torch.where(accepted, 1.0, shortened)
        slope = _dot(gradient, direction)
        done |= value.isfinite() & (-length * slope <= least)
    return Minimum(x, failed)


def _first(value: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
    """The first step, where it goes downhill or the start is not finite; elsewhere that to the zero of the slope."""
    downhill = (_dot(gradient, step) < 0) | value.isinf()
    return torch.where(downhill[:, None], step, _to_zero(gradient, value))


def _to_zero(gradient: Tensor, value: Tensor) -> Tensor:
    r"""The step :math:`-g\, v / \|g\|^2` along the gradient at which a linear function is zero."""
    finite = torch.where(value.isfinite(), value, 0.0)
    return -gradient * (finite * reciprocal(_dot(gradient, gradient)))[:, None]


def _direction(gradient: Tensor, value: Tensor, steps: Tensor, changes: Tensor) -> Tensor:
    """The product -H g with the inverse curvature H of the pairs; pairs that are zero have no effect."""
    rho = reciprocal((steps * changes).sum(2))
    q, weights = gradient, torch.zeros_like(rho)
    for i in reversed(range(len(steps))):
        weights[i] = rho[i] * _dot(steps[i], q)
        q = q - weights[i][:, None] * changes[i]
    scale = _dot(steps[-1], changes[-1]) * reciprocal(_dot(changes[-1], changes[-1]))
    q = torch.where(scale[:, None] > 0, scale[:, None] * q, -_to_zero(gradient, value))
    for s, y, r, weight in zip(steps, changes, rho, weights, strict=True):
        q = q + (weight - r * _dot(y, q))[:, None] * s
    return -q


def _shrinkage(
    value: Tensor, slope: Tensor, new_value: Tensor, new_slope: Tensor, length: Tensor, finite: Tensor
) -> Tensor:
    """The factor to the minimum of the cubic with these values and slopes, within bounds."""
    d1 = slope + new_slope - 3 * (new_value - value) / length
    d2 = (d1.square() - slope * new_slope).clamp(min=0).sqrt()
    factor = 1 - (new_slope + d2 - d1) / (new_slope - slope + 2 * d2)
    return torch.where(finite & factor.isfinite(), factor, 0.0).clamp(*SHRINKAGE)


def _finite(value: Tensor, gradient: Tensor) -> Tensor:
    return value.isfinite() & gradient.isfinite().all(1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1)
