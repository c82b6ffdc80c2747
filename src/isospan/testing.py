"""Checks of equivariance for tests: of isospan's modules, and of a user's own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from isospan._core.checks import check_finite, check_floating
from isospan.errors import EquivarianceError, GroupMismatchError, RepresentationError, ShapeError
from isospan.representations import Representation, SymmetryGroup, check_representation

__all__ = ["assert_equivariant", "equivariance_error"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative error that counts as rounding, by precision.

Errors grow with the number of operations. The tolerances are 5e6 eps of float64 and 8e2 eps of float32; float32 must
show a wrong layer. A half-precision network rounds every activation, and a few such roundings make 6 eps of bfloat16
(7.8e-3) or 10 eps of float16 (9.8e-4).
"""

Map = Callable[..., Tensor]
Representations = Representation | Sequence[Representation | None]


@torch.no_grad()
def equivariance_error(
    f: Map,
    rep_in: Representations,
    rep_out: Representation | None,
    *,
    dim: int | Sequence[int] = -1,
    dim_out: int | None = None,
    x: Tensor | Sequence[Tensor] | None = None,
    samples: int = 16,
    elements: int = 8,
    generator: torch.Generator | None = None,
) -> float:
    r"""Return the largest relative violation of equivariance.

    .. math:: \max_g \frac{\| f(\rho_\text{in}(g) x) - \rho_\text{out}(g) f(x) \|_F}{\| f(x) \|_F}

    The maximum is over the generators of the group, exp(Xᵢ) for a basis Xᵢ of its Lie algebra, and random elements.
    A map of several inputs is called with all of them, and the group acts on each by its representation. A module keeps
    its mode, and its buffers are restored after each call, so these inputs do not change the statistics of batch norms.
    A map that draws random numbers, such as dropout in training, has no defined error.

    Args:
        f: a module or function of tensors (..., rep_in.size), or of others with the channels elsewhere.
        rep_in: representation of its input; for several inputs one representation each, or None for those on which
            the group acts trivially.
        rep_out: representation of its output (..., rep_out.size); None where the output is invariant.
        dim: axis on which the group acts, of every input or of each.
        dim_out: that of the output; by default the same as of the (first) input.
        x: inputs (N, ..., rep_in.size); by default drawn from a normal distribution, in the precision and on the device
            of the module's first parameter, or else buffer, in floating point (float64 on the CPU where it has neither,
            and for a function).
        samples: number of inputs to draw.
        elements: number of random elements.
        generator: source of the random numbers.

    Raises:
        GroupMismatchError: the representations are of different groups.
        RepresentationError: an argument is not a representation, no input has one, or an input without one has to be
            drawn.
        NonFiniteError: x or a value of f contains NaN or infinity.
        ShapeError, DtypeError: x or a value of f is not a floating-point tensor of the representation's size, or there
            are not as many inputs as representations and axes, or a buffer of a lazy module has no shape yet.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> equivariance_error(lambda x: x.relu(), regular, regular)
        0.0
        >>> equivariance_error(lambda x, y: x * y, (regular, regular), regular)
        0.0
    """
    reps = _each(rep_in)
    group = _one_group(reps, rep_out)
    dims = [dim] * len(reps) if isinstance(dim, int) else list(dim)
    xs = _inputs(f, reps, x, samples, generator)
    _check_inputs(xs, reps, dims)
    dim_out = dims[0] if dim_out is None else dim_out
    y = _value(f, xs, rep_out, dim_out)
    scale = float(torch.linalg.vector_norm(y.double())) or 1.0
    seed = int(torch.randint(2**31, (), generator=generator, device=_device(generator)))

    def violation(g: Any) -> float:
        transformed = [_act(rep, g, value, axis) for rep, value, axis in zip(reps, xs, dims, strict=True)]
        difference = _value(f, transformed, rep_out, dim_out) - _act(rep_out, g, y, dim_out)
        return float(torch.linalg.vector_norm(difference.double()))

    return max(violation(g) for g in _probes(group, elements, seed)) / scale


def _each(rep_in: Representations) -> tuple[Representation | None, ...]:
    return tuple(rep_in) if isinstance(rep_in, Sequence) else (rep_in,)


def _one_group(reps: Sequence[Representation | None], rep_out: Representation | None) -> SymmetryGroup:
    given = [rep for rep in (*reps, rep_out) if rep is not None]
    for rep in given:
        check_representation(rep)
    groups = [rep.group for rep in given]
    if all(rep is None for rep in reps):
        raise RepresentationError(
            "A map is equivariant for a group that acts on an input, got no representation of one. Pass it in rep_in."
        )
    for group in groups[1:]:
        if group != groups[0]:
            raise GroupMismatchError(
                f"A map is equivariant between representations of one group, got {groups[0].name} and {group.name}. "
                "Restrict them to a common subgroup."
            )
    return groups[0]


def _inputs(
    f: Map,
    reps: Sequence[Representation | None],
    x: Tensor | Sequence[Tensor] | None,
    samples: int,
    generator: torch.Generator | None,
) -> list[Tensor]:
    if x is None:
        return [_draw(f, rep, samples, generator) for rep in reps]
    return [x] if isinstance(x, Tensor) else list(x)


def _draw(f: Map, rep: Representation | None, samples: int, generator: torch.Generator | None) -> Tensor:
    if rep is None:
        raise RepresentationError(
            "Inputs are drawn from their representations, but one has None. Pass the values of all inputs in x."
        )
    like = next(iter(_floats(f)), None)
    dtype, device = (torch.float64, "cpu") if like is None else (like.dtype, like.device)
    x = torch.randn(samples, rep.size, generator=generator, dtype=torch.float64, device=_device(generator))
    return x.to(device, dtype)


def _floats(f: Map) -> list[Tensor]:
    """The parameters of a module in floating point, then such buffers."""
    tensors = (*f.parameters(), *f.buffers()) if isinstance(f, torch.nn.Module) else ()
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _device(generator: torch.Generator | None) -> torch.device | str:
    return "cpu" if generator is None else generator.device


def _check_inputs(xs: Sequence[Tensor], reps: Sequence[Representation | None], dims: Sequence[int]) -> None:
    if not len(xs) == len(reps) == len(dims):
        raise ShapeError(
            f"Every input must have a representation and an axis, got {len(xs)} inputs, {len(reps)} representations "
            f"and {len(dims)} axes. Pass as many of each, and None for the representation of an input on which the "
            "group acts trivially."
        )
    for i, (x, rep, dim) in enumerate(zip(xs, reps, dims, strict=True)):
        if rep is not None:
            _check(x, rep, dim, what="The input x" if len(xs) == 1 else f"Input {i}")


def _value(f: Map, xs: Sequence[Tensor], rep_out: Representation | None, dim: int) -> Tensor:
    with _buffers_kept(f):
        y = f(*xs)
    _check(y, rep_out, dim, what="The value f(x)")
    return y


@contextmanager
def _buffers_kept(f: Map) -> Iterator[None]:
    """Restore the buffers of a module, and their values, when the block ends.

    Values are written through ``.data``, since autograd may have saved the buffers for a gradient. A buffer outside the
    state that the module has replaced is not restored: the module computes it from its parameters.
    """
    modules = f.modules() if isinstance(f, torch.nn.Module) else ()
    before = [(m, name, buffer, _cloned(buffer)) for m in modules for name, buffer in m._buffers.items()]
    try:
        yield
    finally:
        for module, name, buffer, values in before:
            if name not in module._non_persistent_buffers_set:
                module._buffers[name] = buffer
            if buffer is not None and values is not None and not _unchanged(buffer, values):
                buffer.data.copy_(values)


def _cloned(buffer: Tensor | None) -> Tensor | None:
    if buffer is None:
        return None
    if is_lazy(buffer):
        raise ShapeError(
            "The buffers of a module must have a shape for the check to restore them, got a lazy one that has not "
            "seen an input. Call the module once before."
        )
    return buffer.clone()


def _unchanged(buffer: Tensor, values: Tensor) -> bool:
    """Whether a buffer has its old values. An expanded one cannot be written to. A sparse one counts as constant."""
    return buffer.is_meta or buffer.layout != torch.strided or torch.equal(buffer, values)


def _check(x: Tensor, rep: Representation | None, dim: int, *, what: str) -> None:
    check_floating(x, what=what)
    if rep is not None and (not -x.dim() <= dim < x.dim() or x.shape[dim] != rep.size):
        raise ShapeError(
            f"{what} must have {rep.size} entries on axis {dim}, the size of {rep.name!r}, got shape {tuple(x.shape)}. "
            "Check the representation, and the axis with dim= and dim_out=."
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


@torch.no_grad()
def assert_equivariant(
    f: Map,
    rep_in: Representations,
    rep_out: Representation | None,
    *,
    tol: float | None = None,
    dim: int | Sequence[int] = -1,
    dim_out: int | None = None,
    x: Tensor | Sequence[Tensor] | None = None,
    samples: int = 16,
    elements: int = 8,
    generator: torch.Generator | None = None,
) -> None:
    """Raise unless :func:`equivariance_error` is at most ``tol``.

    The default ``tol`` is the rounding of the coarsest precision of the module's parameters and buffers, and of the
    inputs on which the group acts.

    Raises:
        EquivarianceError: the error is larger than ``tol``.
        GroupMismatchError, RepresentationError, NonFiniteError, ShapeError, DtypeError: as for
            :func:`equivariance_error`.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(4).regular_representation
        >>> assert_equivariant(lambda x: x.cumsum(-1), regular, regular)
        Traceback (most recent call last):
        ...
        isospan.errors.EquivarianceError: ...
    """
    reps = _each(rep_in)
    group = _one_group(reps, rep_out)
    xs = _inputs(f, reps, x, samples, generator)
    error = equivariance_error(f, reps, rep_out, dim=dim, dim_out=dim_out, x=xs, elements=elements, generator=generator)
    tol = _tolerance(f, xs, reps) if tol is None else tol
    if not error <= tol:
        raise EquivarianceError(
            f"The map must commute with {group.name}, got a relative error of {error:.3g}, above {tol:.3g}. "
            + _what_to_do(f, xs, tol)
        )


def _what_to_do(f: Map, xs: Sequence[Tensor], tol: float) -> str:
    first, second = (_value(f, xs, None, -1).double() for _ in range(2))
    scale = float(torch.linalg.vector_norm(first)) or 1.0
    change = float(torch.linalg.vector_norm(second - first)) / scale
    if change > tol:
        return (
            f"Two calls with the same inputs differ by {change:.3g}, so f is not one map: it draws random numbers, or "
            "keeps a state. Call .eval() on modules with dropout."
        )
    return "Check that the representations are those of the data, and that every layer respects them."


def _tolerance(f: Map, xs: Sequence[Tensor], reps: Sequence[Representation | None]) -> float:
    """Rounding in the coarsest precision of the module and of the inputs on which the group acts."""
    acted_on = [x for x, rep in zip(xs, reps, strict=True) if rep is not None]
    precisions = {tensor.dtype for tensor in (*acted_on, *_floats(f))}
    return max(TOLERANCE[dtype] for dtype in precisions if dtype in TOLERANCE)


def __dir__() -> list[str]:
    return __all__
