"""The problems of the study: a state, and what becomes of it a step later."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, cat

from isospan.datasets import ant_representations, ant_steps, cached, spring_ring, spring_ring_representation
from isospan.representations import Representation

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Problem:
    """Inputs x (N, D_x) and the change of the state y (N, D_y), and how a group acts on both.

    Samples of one seed share no trajectory with those of another.
    """

    title: str
    make: Callable[[int, int], Pair]
    rep_x: Representation
    rep_y: Representation


def ant(n: int, seed: int) -> Pair:
    """State and torques of the robot; what a control step changes of the state."""
    state, action, later = cached(ant_steps, n, seed=seed).split((26, 8, 26), dim=1)
    return cat((state, action), dim=1), later - state


def springs(n: int, seed: int) -> Pair:
    """State of a ring of eight masses; what a third of the period of the fastest wave changes."""
    before, after = cached(spring_ring, n, masses=8, seed=seed).unbind(1)
    return before, after - before


def problems() -> dict[str, Problem]:
    """The problems by name."""
    (state, action), ring = ant_representations(), spring_ring_representation(8)
    return {
        "ant": Problem("MuJoCo's Ant", ant, state + action, state),
        "springs": Problem("Ring of eight springs", springs, ring, ring),
    }
