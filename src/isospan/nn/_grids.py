"""Points of a group on which a representation is seen as functions, and how it is sampled there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from isospan.errors import GroupError
from isospan.groups import O2, O3, SO2, SO3, FiniteGroup
from isospan.representations import Irrep


class Grid(NamedTuple):
    r"""Elements g_n with weights that integrate over the group.

    A copy x of an irrep of dimension d is the function :math:`f(g) = \sqrt d \, \langle \sigma(g) w, x \rangle` for a
    template w: moving x by h gives :math:`f(h^{-1} g)`. Functions of templates that are orthogonal up to endomorphisms
    are orthonormal (Schur).

    Attributes:
        weights: (N,), of sum 1.
        samples: for an irrep, :math:`\sqrt d \, \sigma(g_n) w` for each template w, (templates, N, d).
    """

    weights: np.ndarray
    samples: Callable[[Irrep], np.ndarray]


def default_grid_size(group: Any, band: int) -> int:
    """Angles around a circle for functions of frequencies up to ``band``: a sphere has many circles."""
    return (18 if group in (SO3(), O3()) else 32) * (band + 1)


def grid_of(group: Any, size: int) -> Grid:
    """The grid of a group: all elements of a finite one, ``size`` angles around a circle of a Lie group.

    Raises:
        GroupError: a product with a Lie group.
    """
    if isinstance(group, FiniteGroup):
        return Grid(np.full(group.order(), 1 / group.order()), _finite_samples)
    if group in (SO2(), O2()):
        return _circle(size, mirrored=group == O2())
    if group in (SO3(), O3()):
        return _sphere(size, mirrored=group == O3())
    raise GroupError(
        f"Grids are known for finite groups, SO(2), O(2), SO(3) and O(3), got {group.name}. Use NormActivation or "
        "GatedActivation, or restrict the representation to a finite subgroup."
    )


def _of_templates(irrep: Irrep, elements: np.ndarray) -> np.ndarray:
    """Samples (t, N, d) at elements (N, d, d): of the d / s numbers that the irrep acts on, a template is each 1."""
    return np.sqrt(irrep.size) * elements[:, :, :: len(irrep.endomorphism_basis)].transpose(2, 0, 1)


def _finite_samples(irrep: Irrep) -> np.ndarray:
    return _of_templates(irrep, irrep.table)


def _circle(size: int, *, mirrored: bool) -> Grid:
    """Equidistant rotations, and each of them after the reflection."""

    def samples(irrep: Irrep) -> np.ndarray:
        turns = _flow(irrep.action.algebra[0], 2 * np.pi / size * np.arange(size))
        turns = np.concatenate([turns, turns @ irrep.action.generators[0]]) if mirrored else turns
        return _of_templates(irrep, turns)

    count = 2 * size if mirrored else size
    return Grid(np.full(count, 1 / count), samples)


def _sphere(size: int, *, mirrored: bool) -> Grid:
    """Directions that Gauss's nodes and equidistant longitudes give: the template is the axis of z, one an irrep.

    With the inversion, each direction is there twice.
    """
    nodes, weights = np.polynomial.legendre.leggauss(size // 2 + 1)
    longitudes = 2 * np.pi / size * np.arange(size)
    weights = np.repeat(weights / (2 * size), size)

    def samples(irrep: Irrep) -> np.ndarray:
        _, about_y, about_z = irrep.action.algebra
        meridian = _flow(about_y, np.arccos(nodes))[:, :, -1]
        points = np.einsum("lab,tb->tla", _flow(about_z, longitudes), meridian).reshape(-1, irrep.size)
        points = np.concatenate([points, points @ irrep.action.generators[0].T]) if mirrored else points
        return np.sqrt(irrep.size) * points[None]

    return Grid(np.concatenate([weights, weights]) / 2 if mirrored else weights, samples)


def _flow(X: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """exp(θ X) for all angles θ, (n, d, d)."""
    frequencies, V = np.linalg.eigh(-1j * X)
    return np.real((V * np.exp(1j * angles[:, None, None] * frequencies)) @ V.conj().T)
