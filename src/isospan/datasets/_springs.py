r"""A ring of equal masses on anharmonic springs, simulated: dynamics with the symmetry of a regular polygon.

Mass i of N has the displacement :math:`u_i` along the ring and the momentum :math:`p_i`. With the elongation
:math:`r_i = u_{i+1} - u_i` of spring i

.. math:: \dot u_i = p_i , \qquad \dot p_i = V'(r_i) - V'(r_{i-1}) , \qquad
          V(r) = \tfrac12 r^2 + \tfrac{\alpha}{3} r^3 + \tfrac{\beta}{4} r^4

so energy and total momentum are conserved (Fermi, Pasta, Ulam and Tsingou, Los Alamos report LA-1940, 1955). The
rotation of the ring by one mass and its reflection generate the dihedral group of order 2N. The reflection also changes
the sign of the displacements, which are along the ring.
"""

from math import ceil

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import check_count, check_number
from isospan.errors import OptionError
from isospan.groups import DihedralGroup
from isospan.representations import Representation, direct_sum

LONGEST_STEP = 0.05
"""Default of the longest time step. The shortest period of linear springs is pi."""

OUTER = 1 / (2 - 2 ** (1 / 3))
SUBSTEPS = (OUTER, 1 - 2 * OUTER, OUTER)
"""Three leapfrog steps of these lengths are one step of fourth order. The second one is backward in time."""


def spring_ring(
    n: int,
    *,
    masses: int = 8,
    duration: float = 1.0,
    temperature: float = 1.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    seed: int = 0,
) -> Tensor:
    r"""Simulate n rings, each from its own random state.

    Initial momenta are :math:`N(0, T)` and displacements :math:`N(0, T/2)`, so that linear springs have the mean energy
    T/2. Then the means of both are subtracted. The distribution has the symmetry of the ring.

    Args:
        n: Number of samples. Sample i depends only on `seed` and i, so more samples begin with fewer.
        masses: N, at least 3.
        duration: Time between the two states of a sample.
        temperature: T, in units of the springs' energy. Rings are linear for small T.
        alpha: Cubic coefficient of the springs' energy. Springs have one rest length for ``alpha**2 <= 4 * beta``.
        beta: Quartic coefficient, positive, or 0 with alpha = 0. Else the energy is not bounded below.
        seed: Seed of the states.

    Returns:
        States before and after, of shape (n, 2, 2 N), float32: displacements, then momenta. The symmetry of the ring
        acts on them by :func:`spring_ring_representation`.

    Raises:
        OptionError: A parameter is out of its range.

    Example:
        >>> before, after = spring_ring(5, masses=6).unbind(1)
        >>> before.shape, before.dtype
        (torch.Size([5, 12]), torch.float32)
    """
    _check_parameters(n, masses, duration, temperature, alpha, beta)
    states = np.empty((n, 2, masses))
    for i in range(n):
        states[i] = np.random.default_rng([seed, i]).standard_normal((2, masses))
    states *= np.sqrt([[temperature / 2], [temperature]])
    before = torch.from_numpy(states - states.mean(-1, keepdims=True)).flatten(1)
    return torch.stack((before, evolve(before, duration, alpha=alpha, beta=beta)), dim=1).float()


def spring_ring_representation(masses: int) -> Representation:
    r"""Return the representation of the dihedral group on the states of a ring.

    .. math:: (r u)_{i+1} = u_i , \qquad (s u)_{-i} = -u_i

    The momenta transform in the same way.

    Args:
        masses: N, at least 3.

    Raises:
        OptionError: Fewer than 3 masses.

    Example:
        >>> spring_ring_representation(6)
        Representation('states of 6 masses', group=DihedralGroup(6), size=12)
    """
    _check_masses(masses)
    one = np.eye(masses)
    rotation, reflection = np.roll(one, 1, axis=0), -one[-np.arange(masses)]
    displacements = Representation(DihedralGroup(masses), [rotation, reflection], name="displacements")
    return direct_sum([displacements, displacements], name=f"states of {masses} masses")


def evolve(
    state: Tensor, duration: float, *, alpha: float = 1.0, beta: float = 1.0, max_step: float = LONGEST_STEP
) -> Tensor:
    r"""Advance states (..., 2 N) in time by a symplectic method of fourth order, computed in float64.

    A leapfrog step of length :math:`\tau` is :math:`u \leftarrow u + \tfrac\tau2 p`, then
    :math:`p \leftarrow p + \tau F(u)`, then :math:`u \leftarrow u + \tfrac\tau2 p`. The leading errors of three such
    steps, of lengths :math:`c \tau, (1 - 2c) \tau, c \tau` with :math:`c = 1 / (2 - 2^{1/3})`, cancel. The map is
    equivariant under the symmetry of the ring, bit for bit. All steps are equal, and at most `max_step`.

    Source: Yoshida, Construction of higher order symplectic integrators, Phys. Lett. A 150, 1990.
    """
    u, p = state.double().chunk(2, dim=-1)
    steps = ceil(duration / max_step)
    for fraction in SUBSTEPS * steps:
        tau = fraction * duration / steps
        u = u + tau / 2 * p
        p = p + tau * _force(u, alpha, beta)
        u = u + tau / 2 * p
    return torch.cat((u, p), dim=-1).to(state.dtype)


def _force(u: Tensor, alpha: float, beta: float) -> Tensor:
    r = u.roll(-1, -1) - u
    tension = r * (1 + r * (alpha + beta * r))
    return tension - tension.roll(1, -1)


def _check_masses(masses: int) -> None:
    if check_count(masses, what="masses") < 3:
        raise OptionError(f"A ring needs at least 3 masses, got {masses}.")


def _check_parameters(n: int, masses: int, duration: float, temperature: float, alpha: float, beta: float) -> None:
    check_count(n, what="n, the number of samples,")
    _check_masses(masses)
    check_number(duration, what="duration", must="at least 0")
    check_number(temperature, what="temperature", must="at least 0")
    if not (beta > 0 or alpha == beta == 0):
        raise OptionError(
            "The springs' energy must be bounded below: beta > 0, or alpha = beta = 0 for linear springs, "
            f"got alpha={alpha}, beta={beta}."
        )
