"""The learners of the study: equivariant perceptrons of a plain one's width and of its size, and the plain one."""

from bisect import bisect_left
from functools import cache
from itertools import pairwise

from torch import nn

from benchmarks.learning_curves.problems import Problem
from isospan.models import EMLP

WIDTH, DEPTH = 128, 3

LEARNERS = {
    "emlp": "EMLP of equal width",
    "emlp-large": "EMLP of equally many parameters",
    "mlp": "MLP",
    "mlp-augmented": "MLP with augmentation",
}


def make_learner(name: str, problem: Problem) -> nn.Module:
    """A network of three hidden layers, with random weights."""
    if name.startswith("mlp"):
        return plain(problem)
    return equivariant(problem, WIDTH if name == "emlp" else width_of_size(problem))


def plain(problem: Problem) -> nn.Sequential:
    """A perceptron that knows of no symmetry."""
    widths = [problem.rep_x.size, *(WIDTH,) * DEPTH, problem.rep_y.size]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@cache
def width_of_size(problem: Problem) -> int:
    """The least width at which an equivariant perceptron has as many parameters as the plain one."""
    widths = range(problem.rep_x.group.order(), 8 * WIDTH, problem.rep_x.group.order())
    return widths[bisect_left(widths, size(plain(problem)), key=lambda width: size(equivariant(problem, width)))]


def equivariant(problem: Problem, width: int) -> EMLP:
    """A perceptron that commutes with the group."""
    return EMLP(problem.rep_x, problem.rep_y, (width,) * DEPTH)


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
