"""Activations of functions on the group, and their grids."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from isospan._core.autocast import full_precision
from isospan.errors import GroupError, OptionError
from isospan.groups import O2, O3, SO2, SO3, FiniteGroup
from isospan.nn._base.activations import Activation, activation_name, as_activation, check_elementwise
from isospan.nn._base.layer import Device, Layer, to_device
from isospan.nn._bases import ChangeOfBasis
from isospan.representations import Irrep, IsotypicComponent, Representation


class Grid(NamedTuple):
    r"""Elements g_n with weights that integrate over the group.

    A copy x of an irrep of dimension d is the function :math:`f(g) = \sqrt d \, \langle \sigma(g) w, x \rangle` for a
    template w. Transforming x by h gives :math:`f(h^{-1} g)`. Functions of templates that are orthogonal up to
    endomorphisms are orthonormal (Schur).

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
        return Grid(np.full(group.order(), 1 / group.order()), lambda irrep: _of_templates(irrep, irrep.table))
    if group in (SO2(), O2()):
        return _circle(size, mirrored=group == O2())
    if group in (SO3(), O3()):
        return _sphere(size, mirrored=group == O3())
    raise GroupError(
        f"Grids are known for finite groups, SO(2), O(2), SO(3) and O(3), got {group.name}. Use NormActivation or "
        "GatedActivation, or restrict the representation to a finite subgroup."
    )


def _of_templates(irrep: Irrep, elements: np.ndarray) -> np.ndarray:
    """Samples (t, N, d) at elements (N, d, d): one template for each of the d / s scalars of the irrep."""
    return np.sqrt(irrep.size) * elements[:, :, :: len(irrep.endomorphism_basis)].transpose(2, 0, 1)


def _circle(size: int, *, mirrored: bool) -> Grid:
    """Equidistant rotations, and each of them after the reflection."""

    def samples(irrep: Irrep) -> np.ndarray:
        rotations = _flow(irrep.action.algebra[0], 2 * np.pi / size * np.arange(size))
        rotations = np.concatenate([rotations, rotations @ irrep.action.generators[0]]) if mirrored else rotations
        return _of_templates(irrep, rotations)

    count = 2 * size if mirrored else size
    return Grid(np.full(count, 1 / count), samples)


def _sphere(size: int, *, mirrored: bool) -> Grid:
    """Directions from Gauss's nodes and equidistant longitudes, twice with the inversion.

    The only template of each irrep is the axis of z.
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


class FourierActivation(Layer):
    r"""Irreps as Fourier coefficients of functions on the group, which are sampled, activated and transformed back.

    .. math:: x \mapsto A^\top W \, f(A x)

    The rows of A are the band-limited functions at the points of a fixed grid, W are its weights, and f is any
    activation. Copies of irreps are distributed over as few functions as possible. The grid of a finite group is the
    whole group, so the layer is exactly equivariant. For SO(2), O(2), SO(3) and O(3) there is an error, since f adds
    frequencies that the grid does not resolve. :func:`isospan.testing.equivariance_error` measures it. It falls as the
    grid grows: fast for smooth activations, slowly for activations with a kink, such as ReLU.

    Args:
        rep: representation of the features.
        activation: f, a name of a module of torch.nn, a module, or a function that acts on each entry of a tensor alone
            and in the same way.
        grid_size: number of angles around the circle of a Lie group. By default, up to frequency 5 and on white inputs,
            the error is below 1e-3 with ReLU, at most 1e-5 with Tanh, and at most 1e-6 with SiLU, GELU, Mish, Sigmoid
            and Softplus.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.
        functions: number of functions that the copies make.
        points: number of points of the grid.

    Shapes:
        x (..., rep.size) to the same.

    Raises:
        EquivarianceError: the activation mixes samples, or does not treat all samples alike, also in training.
        GroupError: a product with a Lie group, whose grid is not known.
        OptionError: an unknown name, or a grid too coarse for the frequencies of rep.
        ShapeError: an input without the shape above.
        DtypeError: an input that is not floating point.

    Source: Cohen, Geiger, Köhler and Welling, Spherical CNNs, 2018.

    Example:
        >>> from isospan.groups import SO3
        >>> from isospan.testing import equivariance_error
        >>> layer = FourierActivation(4 * SO3().irrep(0) + 4 * SO3().irrep(1))
        >>> layer.functions, equivariance_error(layer, layer.rep_in, layer.rep_out) < 1e-3
        (4, True)
    """

    functions: int
    points: int
    sampling: Tensor
    analysis: Tensor
    positions: Tensor

    def __init__(
        self,
        rep: Representation,
        activation: Activation = "SiLU",
        *,
        grid_size: int | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(rep)
        self.activation: Callable[[Tensor], Tensor] = as_activation(activation)
        if not isinstance(activation, str):  # functions in NAMES act on every coordinate alike
            check_elementwise(self.activation)
        self.change: ChangeOfBasis = ChangeOfBasis(rep)
        band = _band(rep)
        size = default_grid_size(rep.group, band) if grid_size is None else grid_size
        _check_grid(size, band)
        grid = grid_of(rep.group, size)
        sampling, positions, self.functions = _distributed(rep, grid)
        self.points, slots = sampling.shape
        self._coordinates = self.functions * slots
        # a function of independent coordinates of variance 1 has variance 1
        self.register_constant("sampling", (sampling / np.sqrt(slots)).T.copy())
        self.register_constant("analysis", grid.weights[:, None] * sampling * np.sqrt(slots))
        self.register_constant("positions", positions)
        to_device(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated features (..., rep.size)."""
        z = self.change(x)
        with full_precision(z):
            coordinates = z.new_zeros(*z.shape[:-1], self._coordinates).index_copy(-1, self.positions, z)
            values = self.activation(coordinates.unflatten(-1, (self.functions, -1)) @ self.sampling.to(z.dtype))
            coefficients = (values @ self.analysis.to(z.dtype)).flatten(-2).index_select(-1, self.positions)
        return self.change.inverse(coefficients)

    def extra_repr(self) -> str:
        """The activation, and the size of the grid."""
        return f"{activation_name(self.activation)}, functions={self.functions}, points={self.points}"


def _band(rep: Representation) -> int:
    """The largest frequency of a Lie group in the representation, 0 for a finite group."""
    return 0 if rep.group.order() else max(component.irrep.key[0] for component in rep.isotypic)


def _check_grid(size: int, band: int) -> None:
    least = 2 * band + 1
    if isinstance(size, bool) or not isinstance(size, int) or size < least:
        raise OptionError(
            f"A grid resolves frequencies up to {band} from {least} angles on, got grid_size={size!r}. Leave it out "
            "for a default that also resolves the frequencies that smooth activations add."
        )


def _distributed(rep: Representation, grid: Grid) -> tuple[np.ndarray, np.ndarray, int]:
    """Distribute the copies of every irrep evenly over functions.

    Returns:
        The sampling matrix (N, P) of one function, the position (D,) of every irrep-basis coordinate among the (F, P)
        coordinates of all functions, and their number F.
    """
    samples = [grid.samples(component.irrep) for component in rep.isotypic]
    counts = [(c.multiplicity, len(s)) for c, s in zip(rep.isotypic, samples, strict=True)]
    functions = max(-(-multiplicity // templates) for multiplicity, templates in counts)
    used = [S[: -(-m // functions)] for S, (m, _) in zip(samples, counts, strict=True)]
    sampling = np.concatenate([w for S in used for w in S], axis=1)
    starts = np.cumsum([0, *(S.shape[0] * S.shape[2] for S in used)])
    positions = [
        _positions(component, start, functions, sampling.shape[1])
        for component, start in zip(rep.isotypic, starts[:-1], strict=True)
    ]
    return sampling, np.concatenate(positions), functions


def _positions(component: IsotypicComponent, start: int, functions: int, slots: int) -> np.ndarray:
    """Copy i belongs to function i mod F, with template i div F."""
    i, d = np.arange(component.multiplicity), component.irrep.size
    first = (i % functions) * slots + start + (i // functions) * d
    return (first[:, None] + np.arange(d)).ravel()
