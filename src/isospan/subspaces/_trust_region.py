"""Ascent to a local maximum over orthonormal frames, by second derivatives."""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from isospan.linalg import eigh

MAX_STEPS = 200
MAX_PRODUCTS = 300
"""Products with the Hessian in one step: as many as conjugate gradients need for a frame of some hundred directions."""
BUDGET = 1000
"""Products in all: enough for the optimum of a small frame, and to be near that of a large one."""
FIRST_RADIUS = 1 / 8
"""Of the largest, the length of a frame; it doubles where the model is right."""
ROUNDING = 1e3 * torch.finfo(torch.float64).eps
"""A gain below this part of the value is lost in the sums that make the value."""
NOTHING = 1e-20
"""A gain that is the square of a step of 1e-10."""
SMALLEST = torch.finfo(torch.float64).tiny

logger = logging.getLogger("isospan")


class Summit(Protocol):
    """A function of frames at one of them, ``frame`` (K, D) with orthonormal rows."""

    frame: Tensor
    value: float
    gradient: Tensor

    def curvature(self, step: Tensor) -> Tensor:
        """The Hessian on the manifold, times a tangent step."""
        ...

    def precondition(self, gradient: Tensor) -> Tensor:
        """A positive definite map of tangents, about 1 in size, near the inverse of the negative Hessian in shape."""
        ...


class Step(NamedTuple):
    """A step, the gain that the model expects, whether it ends where the model is not trusted, and its cost."""

    step: Tensor
    gain: float
    at_border: bool
    products: int


def ascend(at: Callable[[Tensor], Summit], frame: Tensor) -> Tensor:
    r"""Return a local maximum of a function of frames, to rounding, or what the budget allows.

    Trust-region Newton steps on the manifold of frames. Each maximises the second-order model

    .. math:: m(\eta) = f + \langle \operatorname{grad} f, \eta\rangle
              + \tfrac12 \langle \eta, \operatorname{Hess} f[\eta]\rangle

    within a radius by truncated conjugate gradients, is brought back to a frame by the polar factor, and is taken
    where f rises by a tenth of what the model says; the radius follows how well the two agree. The value never falls.
    Near the maximum every step squares the error, also that of rounding on the way: the last ones, whose gain float64
    cannot add to f any more, are taken on the word of the gradient, down to a gain of 1e-20. It ends before that after
    200 steps, or 1,000 products with the Hessian, still rising.

    Args:
        at: the function, with its derivatives, at a frame.
        frame: where to start, orthonormal rows (K, D).

    Source: Absil, Baker and Gallivan, Trust-region methods on Riemannian manifolds, 2007.
    """
    here, largest = at(frame), float(len(frame)) ** 0.5
    radius, left = FIRST_RADIUS * largest, BUDGET
    for _ in range(MAX_STEPS):
        step, expected, at_border, products = _best_step(here, radius, min(left, MAX_PRODUCTS))
        there = at(_polar(here.frame + step))
        left -= products
        if expected > ROUNDING * abs(here.value):
            agreement = (there.value - here.value) / expected
            if agreement < 0.25:
                radius /= 4
            elif agreement > 0.75 and at_border:
                radius = min(2 * radius, largest)
            rises = agreement > 0.1
        else:  # values do not tell any more whether the step is good
            rises = there.gradient.norm() < here.gradient.norm()
            if expected <= NOTHING * abs(here.value) or not rises:
                return here.frame
        here = there if rises else here
        if left <= 0:
            break
    logger.debug("The ascent was cut off at %g, with a gradient of %g.", here.value, float(here.gradient.norm()))
    return here.frame


def _best_step(at: Summit, radius: float, limit: int) -> Step:
    """Truncated conjugate gradients: stop at the border, where the model bends upwards, or when exact enough.

    Lengths are those of the preconditioner, whose products with steps follow by recurrence.
    """
    step, bent, rest = torch.zeros_like(at.gradient), torch.zeros_like(at.gradient), at.gradient
    direction = at.precondition(rest)
    size = first = float((direction * rest).sum())
    enough = first * min(first / max(at.value**2, SMALLEST), 0.01)
    length, overlap, reach = 0.0, 0.0, size
    at_border, products = False, 0
    while size > enough and products < limit and not at_border:
        product = at.curvature(direction)
        products += 1
        bend = -float((direction * product).sum())
        share = size / bend if bend > 0 else float("inf")
        at_border = not length + 2 * share * overlap + share**2 * reach < radius**2
        if at_border:
            share = ((overlap**2 + reach * (radius**2 - length)) ** 0.5 - overlap) / reach
        step, bent, rest = step + share * direction, bent + share * product, rest + share * product
        length += 2 * share * overlap + share**2 * reach
        preconditioned = at.precondition(rest)
        before, size = size, float((preconditioned * rest).sum())
        turn = size / before
        direction = preconditioned + turn * direction
        overlap, reach = turn * (overlap + share * reach), size + turn**2 * reach
    return Step(step, float((at.gradient * step).sum() + (step * bent).sum() / 2), at_border, products)


def _polar(M: Tensor) -> Tensor:
    """Nearest frame of a tangent step from a frame: M Mᵀ is at least the identity, so its eigenvalues serve."""
    eigenvalues, Q = eigh(M @ M.mT)
    return (Q * eigenvalues.rsqrt()) @ (Q.mT @ M)
