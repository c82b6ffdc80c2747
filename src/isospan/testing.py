"""Checks of equivariance for tests: of isospan's modules, and of a user's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._checks import check_finite, check_floating
from isospan.errors import EquivarianceError, GroupMismatchError, ShapeError
from isospan.representations import Representation
from isospan.representations.symmetry import SymmetryGroup

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative error that counts as rounding, by precision.

Errors of float64 and float32 grow with the number of operations, and these are 5e6 and 8e2 times eps: float64 has room
to spare, float32 is where a wrong layer has to show. A half-precision network rounds every activation, and a few of
these roundings explain 6 eps of bfloat16 (7.8e-3) or 10 eps of float16 (9.8e-4).
"""

Map = Callable[[Tensor], Tensor]


@torch.no_grad()
def equivariance_error(
    f: Map,
    rep_in: Representation,
    rep_out: Representation | None,
    *,
    dim: int = -1,
    x: Tensor | None = None,
    samples: int = 16,
    elements: int = 8,
    generator: torch.Generator | None = None,
) -> float:
    r"""Return the largest relative violation of equivariance.

    .. math:: \max_g \frac{\| f(\rho_\text{in}(g) x) - \rho_\text{out}(g) f(x) \|_F}{\| f(x) \|_F}

    over the generators of the group, one element of each part of a Lie group's algebra, and some elements at random.

    Args:
        f: a module or function of tensors (..., rep_in.size), or of others with the channels elsewhere.
        rep_in: how the group acts on its input.
        rep_out: how it acts on its output (..., rep_out.size); None where the output is invariant.
        dim: axis on which the group acts, of inputs and outputs.
        x: inputs (N, ..., rep_in.size); by default drawn from a normal distribution, in the precision and on the device
            of the module's parameters (float64 on the CPU for a function).
        samples: how many to draw.
        elements: how many to draw besides the generators.
        generator: of the random numbers.

    Raises:
        GroupMismatchError: representations of two groups.
        NonFiniteError: x or a value of f contains NaN or infinity.
        ShapeError, DtypeError: x or a value of f is not a floating-point tensor of the representation's size.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> equivariance_error(lambda x: x.relu(), regular, regular)
        0.0
    """
    if rep_out is not None and rep_in.group != rep_out.group:
        raise GroupMismatchError(
            f"A map is equivariant between representations of one group, got {rep_in.group.name} and "
            f"{rep_out.group.name}. Restrict them to a common subgroup."
        )
    place = "cpu" if generator is None else generator.device
    if x is None:
        like = next(iter(f.parameters()), None) if isinstance(f, torch.nn.Module) else None
        dtype, device = (torch.float64, "cpu") if like is None else (like.dtype, like.device)
        x = torch.randn(samples, rep_in.size, generator=generator, dtype=torch.float64, device=place).to(device, dtype)
    _check(x, rep_in, dim, what="The input x")
    y = _value(f, x, rep_out, dim)
    scale = float(torch.linalg.vector_norm(y.double())) or 1.0
    seed = int(torch.randint(2**31, (), generator=generator, device=place))

    def violation(g: Any) -> float:
        difference = _value(f, _act(rep_in, g, x, dim), rep_out, dim) - _act(rep_out, g, y, dim)
        return float(torch.linalg.vector_norm(difference.double()))

    return max(violation(g) for g in _probes(rep_in.group, elements, seed)) / scale


def _value(f: Map, x: Tensor, rep_out: Representation | None, dim: int) -> Tensor:
    y = f(x)
    _check(y, rep_out, dim, what="The value f(x)")
    return y


def _check(x: Tensor, rep: Representation | None, dim: int, *, what: str) -> None:
    check_floating(x, what=what)
    if rep is not None and (not -x.dim() <= dim < x.dim() or x.shape[dim] != rep.size):
        raise ShapeError(
            f"{what} must have {rep.size} entries on axis {dim}, the size of {rep.name!r}, got shape {tuple(x.shape)}. "
            "Check the representation, and the axis with dim=."
        )
    check_finite(x, what=what)


def _probes(group: SymmetryGroup, count: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    flows = [group.exp(direction) for direction in np.eye(group.algebra_dim)]
    return [*group.generators, *flows, *(group.sample(generator=rng) for _ in range(count))]


def _act(rep: Representation | None, g: Any, x: Tensor, dim: int) -> Tensor:
    if rep is None:
        return x
    matrix = torch.as_tensor(rep(g), dtype=x.dtype, device=x.device)
    return (x.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)


def assert_equivariant(
    f: Map,
    rep_in: Representation,
    rep_out: Representation | None,
    *,
    tol: float | None = None,
    dim: int = -1,
    x: Tensor | None = None,
    samples: int = 16,
    elements: int = 8,
    generator: torch.Generator | None = None,
) -> None:
    """Raise unless :func:`equivariance_error` is at most ``tol``, by default what rounding explains.

    Raises:
        EquivarianceError: it is larger; the message says by how much.
        GroupMismatchError, NonFiniteError, ShapeError, DtypeError: as there.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> assert_equivariant(lambda x: x.cumsum(-1), regular, regular)
        Traceback (most recent call last):
        ...
        isospan.errors.EquivarianceError: ...
    """
    options: dict[str, Any] = {"dim": dim, "x": x, "samples": samples, "elements": elements, "generator": generator}
    error = equivariance_error(f, rep_in, rep_out, **options)
    if tol is None:
        parameters = list(f.parameters()) if isinstance(f, torch.nn.Module) else []
        like = x if x is not None else next(iter(parameters), torch.zeros((), dtype=torch.float64))
        tol = TOLERANCE[like.dtype]
    if not error <= tol:
        raise EquivarianceError(
            f"The map must commute with {rep_in.group.name}, got a relative error of {error:.3g}, above {tol:.3g}. "
            "Check that both representations are those of the data, and that every layer respects them."
        )
