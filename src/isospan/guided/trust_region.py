"""Ascent to a local maximum over orthonormal frames, by second derivatives."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from isospan.linalg import eigh

MAX_STEPS = 200
MAX_PRODUCTS = 300
BUDGET = 1000
"""Products with the Hessian in all: enough for the optimum of a small frame, and to be near that of a large one."""
FIRST_RADIUS = 1 / 8
ROUNDING = 1e3 * torch.finfo(torch.float64).eps
NOTHING = 1e-20
"""A gain that is the square of a step of 1e-10."""


class Summit(Protocol):
    """A function of frames at one of them, ``frame`` (K, D) with orthonormal rows."""

    frame: Tensor
    value: float
    gradient: Tensor

    def curvature(self, step: Tensor) -> Tensor:
        """The Hessian on the manifold, times a tangent step."""
        ...

    def precondition(self, gradient: Tensor) -> Tensor:
        """A positive definite map of tangents, near the inverse of the negative Hessian up to a factor."""
        ...


class Step(NamedTuple):
    """A step, the gain that the model expects, whether it ends where the model is not trusted, and its cost."""

    step: Tensor
    gain: float
    at_border: bool
    products: int


def ascend(at: Callable[[Tensor], Summit], frame: Tensor, *, steps: int = MAX_STEPS) -> Tensor:
    r"""Return a local maximum of a function of frames, so exactly that the order of sums does not show.

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
        steps: the most that are made.

    Source: Absil, Baker and Gallivan, Trust-region methods on Riemannian manifolds, 2007.
    """
    here, largest = at(frame), float(len(frame)) ** 0.5
    radius = FIRST_RADIUS * largest
    left = BUDGET
    for _ in range(steps):
        step, expected, at_border, products = _best_step(here, radius)
        left -= products
        there = at(_polar(here.frame + step))
        if expected <= ROUNDING * abs(here.value):  # values do not tell any more whether the step is good
            done = expected <= NOTHING * abs(here.value) or there.gradient.norm() >= here.gradient.norm()
            if done:
                break
            here = there
            continue
        agreement = (there.value - here.value) / expected
        if agreement < 0.25:
            radius /= 4
        elif agreement > 0.75 and at_border:
            radius = min(2 * radius, largest)
        if agreement > 0.1:
            here = there
        if left <= 0:
            break
    return here.frame


def _best_step(at: Summit, radius: float) -> Step:
    """Truncated conjugate gradients: stop at the border, where the model bends upwards, or when exact enough.

    Lengths are those of the preconditioner, whose products with steps follow by recurrence.
    """
    step, bent, rest = torch.zeros_like(at.gradient), torch.zeros_like(at.gradient), at.gradient
    direction = at.precondition(rest)
    size = first = float((direction * rest).sum())
    length, overlap, reach = 0.0, 0.0, size
    at_border, products = False, 0
    while products < MAX_PRODUCTS:
        if not size > 0:
            break
        product = at.curvature(direction)
        products += 1
        bend = -float((direction * product).sum())
        share = size / bend if bend > 0 else float("inf")
        at_border = not length + 2 * share * overlap + share**2 * reach < radius**2
        if at_border:
            share = ((overlap**2 + reach * (radius**2 - length)) ** 0.5 - overlap) / reach
        step, bent, rest = step + share * direction, bent + share * product, rest + share * product
        if at_border:
            break
        length += 2 * share * overlap + share**2 * reach
        preconditioned = at.precondition(rest)
        new = float((preconditioned * rest).sum())
        if new <= first * min(first / at.value**2, 0.01):
            break
        turn = new / size
        direction = preconditioned + turn * direction
        overlap, reach, size = turn * (overlap + share * reach), new + turn**2 * reach, new
    return Step(step, float((at.gradient * step).sum() + (step * bent).sum() / 2), at_border, products)


def _polar(M: Tensor) -> Tensor:
    """Nearest frame of a tangent step from a frame: M Mᵀ is at least the identity, so its eigenvalues serve."""
    eigenvalues, Q = eigh(M @ M.mT)
    return (Q * eigenvalues.rsqrt()) @ (Q.mT @ M)
