"""Ascent to a local maximum over orthonormal frames, by second derivatives."""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from isospan.linalg import eigh

MAX_STEPS = 200
MAX_PRODUCTS = 300
"""Products with the Hessian in one step: as many as conjugate gradients need for a frame of some hundred rows."""
BUDGET = 1000
"""Products in all: enough to reach the optimum of a small frame, and to come near that of a large one."""
FIRST_RADIUS = 1 / 8
"""Fraction of the largest radius, which is the norm of a frame. The radius doubles where the model is right."""
ROUNDING = 1e3 * torch.finfo(torch.float64).eps
"""A gain below this fraction of the value is less than the rounding of the value."""
NEGLIGIBLE = 1e-20
"""A relative gain that is the square of a step of 1e-10."""
SMALLEST = torch.finfo(torch.float64).tiny

logger = logging.getLogger("isospan")


class Expansion(Protocol):
    """A function of frames, and its derivatives, at ``frame`` (K, D) with orthonormal rows."""

    frame: Tensor
    value: float
    gradient: Tensor

    def curvature(self, step: Tensor) -> Tensor:
        """Return the Hessian on the manifold times a tangent step."""
        ...

    def precondition(self, gradient: Tensor) -> Tensor:
        """Apply an approximate inverse of the negative Hessian, up to a factor; it is positive definite."""
        ...


class Step(NamedTuple):
    """A step, the gain that the model expects, whether it ends at the border of the radius, and its products."""

    step: Tensor
    gain: float
    at_border: bool
    products: int


def ascend(at: Callable[[Tensor], Expansion], frame: Tensor, *, budget: int = BUDGET) -> Tensor:
    r"""Return a local maximum of a function of frames, up to rounding or the budget.

    Trust-region Newton steps on the manifold of frames. Each maximises the second-order model

    .. math:: m(\eta) = f + \langle \operatorname{grad} f, \eta\rangle
              + \tfrac12 \langle \eta, \operatorname{Hess} f[\eta]\rangle

    within a radius by truncated conjugate gradients. The polar factor maps the result back to a frame. A step is taken
    if f rises by at least a tenth of the gain that the model expects, so f never falls. The radius depends on the ratio
    of the two gains. Near the maximum every step squares the error. The gains of the last steps are below the rounding
    of f; these are taken if the gradient becomes smaller, down to a gain of 1e-20. The ascent also ends after 200
    steps.

    Args:
        at: the function, with its derivatives, at a frame.
        frame: where to start, orthonormal rows (K, D).
        budget: products with the Hessian after which the ascent ends.

    Source: Absil, Baker and Gallivan, Trust-region methods on Riemannian manifolds, 2007.
    """
    here, largest = at(frame), float(len(frame)) ** 0.5
    radius = FIRST_RADIUS * largest
    for _ in range(MAX_STEPS):
        step, expected, at_border, products = _best_step(here, radius, min(budget, MAX_PRODUCTS))
        there = at(_polar(here.frame + step))
        budget -= products
        if expected > ROUNDING * abs(here.value):
            agreement = (there.value - here.value) / expected
            if agreement < 0.25:
                radius /= 4
            elif agreement > 0.75 and at_border:
                radius = min(2 * radius, largest)
            rises = agreement > 0.1
        else:  # a rise of the value would be rounding
            rises = there.gradient.norm() < here.gradient.norm()
            if expected <= NEGLIGIBLE * abs(here.value) or not rises:
                return here.frame
        here = there if rises else here
        if budget <= 0:
            break
    logger.debug("The ascent was cut off at %g, with a gradient of %g.", here.value, float(here.gradient.norm()))
    return here.frame


def _best_step(at: Expansion, radius: float, limit: int) -> Step:
    """Maximise the model by conjugate gradients, up to the border, or to a fraction of the first residual.

    It also goes to the border along a direction of positive curvature. Lengths are those of the preconditioner. Their
    products with the direction p follow by recurrence: ``xx`` of the step, ``xp`` of step and direction, and ``pp``.
    """
    step, hessian_step, residual = torch.zeros_like(at.gradient), torch.zeros_like(at.gradient), at.gradient
    direction = at.precondition(residual)
    size = first = float((direction * residual).sum())
    enough = first * min(first / max(at.value**2, SMALLEST), 0.01)
    xx, xp, pp = 0.0, 0.0, size
    at_border, products = False, 0
    while size > enough and products < limit and not at_border:
        product = at.curvature(direction)
        products += 1
        bend = -float((direction * product).sum())
        alpha = size / bend if bend > 0 else float("inf")
        at_border = not xx + 2 * alpha * xp + alpha**2 * pp < radius**2
        if at_border:
            alpha = ((xp**2 + pp * (radius**2 - xx)) ** 0.5 - xp) / pp
        step, hessian_step = step + alpha * direction, hessian_step + alpha * product
        residual = residual + alpha * product
        xx += 2 * alpha * xp + alpha**2 * pp
        preconditioned = at.precondition(residual)
        before, size = size, float((preconditioned * residual).sum())
        beta = size / before
        direction = preconditioned + beta * direction
        xp, pp = beta * (xp + alpha * pp), size + beta**2 * pp
    gain = float((at.gradient * step).sum() + (step * hessian_step).sum() / 2)
    return Step(step, gain, at_border, products)


def _polar(M: Tensor) -> Tensor:
    """Return the nearest frame of M, a frame plus a tangent step. M Mᵀ ≥ I, so its eigenvalues are at least 1."""
    eigenvalues, Q = eigh(M @ M.mT)
    return (Q * eigenvalues.rsqrt()) @ (Q.mT @ M)
