"""What properties are checked on: matrices of a given rank and unit, memory layouts, quantities, groups, bases.

Sizes, ranks and units are drawn, and shrink; entries are drawn by a seed from a well-conditioned distribution, so that
a tolerance in units of eps can be tight.
"""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from isospan.errors import IsospanError
from isospan.groups import (
    O2,
    SO2,
    SO3,
    AlternatingGroup,
    CyclicGroup,
    DihedralGroup,
    QuaternionGroup,
    SymmetricGroup,
)
from isospan.representations import change_of_basis, direct_sum
from isospan.subspaces import LatentSpace

seeds = st.integers(0, 2**16)
dtypes = st.sampled_from([torch.float64, torch.float32])
units = st.integers(-30, 30).map(lambda exponent: 10.0**exponent)
offsets = st.sampled_from([0.0, 1.0, -30.0, 1e3])
"""In units of the standard deviation."""


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def matrix(seed: int, n: int, d: int, rank: int | None = None, *, centred: bool = False) -> Tensor:
    """A float64 matrix (n, d) of a rank, its other singular values between 0.5 and 1; with columns of mean 0."""
    rank = min(n - centred, d) if rank is None else rank
    left, right = normal(seed, n, rank), normal(seed + 1, d, rank)
    left = left - left.mean(0) if centred else left
    s = torch.linspace(1, 0.5, rank, dtype=torch.float64)
    return torch.linalg.qr(left)[0] * s @ torch.linalg.qr(right)[0].mT


def orthogonal(seed: int, n: int) -> Tensor:
    return torch.linalg.qr(normal(seed, n, n))[0]


def positive_definite(seed: int, n: int) -> Tensor:
    """A symmetric matrix with eigenvalues between 1/4 and 4."""
    Q = orthogonal(seed, n)
    return Q * torch.logspace(-2, 2, n, base=2, dtype=torch.float64) @ Q.mT


LAYOUTS = {
    "contiguous": lambda x: x.clone(),
    "column-major": lambda x: x.clone().movedim(0, -1).contiguous().movedim(-1, 0),
    "every second entry": lambda x: torch.stack([x, x + 1], -1)[..., 0],
    "every second row": lambda x: torch.stack([x, x + 1], 1)[:, 0],
    "behind another row": lambda x: torch.cat([x[:1], x])[1:],
    "requires a gradient": lambda x: x.detach().clone().requires_grad_(),
}
layouts = st.sampled_from(list(LAYOUTS))


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same numbers, otherwise in memory."""
    return LAYOUTS[layout](x)


several = st.integers(8, 24)


@dataclass(frozen=True)
class Batch:
    """Latents (B, D) and quantities (B, ...) that are linear in them, with noise, each in a unit of its own."""

    z: Tensor
    y: dict[str, Tensor]

    def map(self, change) -> "Batch":
        return Batch(change(self.z), {name: change(y) for name, y in self.y.items()})

    def double(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Both in float64 for an oracle of NumPy, quantities flattened to (B, P)."""
        y = {name: y.detach().double().numpy().reshape(len(y), -1) for name, y in self.y.items()}
        return self.z.detach().double().numpy(), y


@st.composite
def batches(draw, *, dtypes=dtypes, units=units, offsets=offsets, samples=several, noise=0.1, max_names=3):
    """Latents of any rank; columns of quantities may repeat or be constant, not all of them."""
    n, D, dtype = draw(samples), draw(st.integers(2, 5)), draw(dtypes)
    rank = draw(st.integers(1, D))
    seed = draw(seeds)
    zc = matrix(seed, n, D, min(rank, n - 1), centred=True) * n**0.5
    y = {}
    for i, name in enumerate(["a", "b", "c"][: draw(st.integers(1, max_names))]):
        P = draw(st.integers(1, 4))
        y_q = zc @ normal(seed + 10 + i, D, P) + noise * normal(seed + 20 + i, n, P)
        if P > 1:
            kind = draw(st.sampled_from(["plain", "duplicated", "constant"]))
            y_q = {"plain": y_q, "duplicated": y_q[:, :1].expand(-1, P), "constant": y_q * (torch.arange(P) > 0)}[kind]
        shape = draw(st.sampled_from([(n, P), (n, P, 1)] + [(n,)] * (P == 1)))
        y[name] = ((y_q + draw(offsets)) * draw(units)).reshape(shape).to(dtype)
    return Batch(((zc + draw(offsets)) * draw(units)).to(dtype), y)


plain_batches = batches(dtypes=st.just(torch.float64), units=st.just(1.0), offsets=st.just(0.0))


@st.composite
def latent_spaces(draw, *, independent=True, isotropic=False):
    """Subspaces with decoders of full rank that are independent of each other, or drawn from few directions.

    The covariance of the latents has a condition of at most 16, or is the identity.
    """
    D, seed = draw(st.integers(3, 8)), draw(seeds)
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3).filter(lambda k: sum(k) <= D))
    names = ["a", "b", "c"][: len(sizes)]
    k = dict(zip(names, sizes, strict=True))
    P = {name: draw(st.integers(k[name], 3)) for name in names}
    scale = draw(st.sampled_from([1.0, 1e-6, 1e6]))
    basis = matrix(seed, sum(sizes), D)
    rows = dict(zip(names, basis.split(sizes), strict=True))
    if not independent:
        pool = orthogonal(seed, D)
        rows = {name: pool[draw(st.permutations(range(D)))[: k[name]]] for name in names}
    return LatentSpace(
        W={name: torch.linalg.qr(W.mT)[0].mT for name, W in rows.items()},
        A={name: scale * matrix(seed + 3 + i, k[name], P[name]) for i, name in enumerate(names)},
        z_mean=normal(seed + 7, D),
        y_mean={name: scale * normal(seed + 8, P[name]) for name in names},
        y_scale={name: torch.tensor(scale, dtype=torch.float64) for name in names},
        shapes={name: (P[name],) for name in names},
        cov_zz=torch.eye(D, dtype=torch.float64) if isotropic else positive_definite(seed + 9, D),
    )


FINITE = [CyclicGroup(1), CyclicGroup(2), CyclicGroup(3), CyclicGroup(4), DihedralGroup(3), DihedralGroup(4)]
FINITE += [QuaternionGroup(), AlternatingGroup(4), SymmetricGroup(3)]
LIE = [SO2(), O2(), SO3()]
finite_groups = st.sampled_from(FINITE)
groups = st.sampled_from([*FINITE, *LIE])


@st.composite
def representations(draw, group, *, max_size=10):
    """A direct sum of irreps or regular representations, in the basis that they come in or in a random one."""
    regular = [group.regular_representation] if group.order() else []
    known = [rep for rep in [*(group.irreps() if group.order() else group.irreps(2)), *regular] if rep.size <= max_size]
    rep = direct_sum(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
    return change_of_basis(rep, orthogonal(draw(seeds), rep.size).numpy()) if draw(st.booleans()) else rep


def near(actual, expected, tolerance: float, *, unit=None) -> None:
    """Require equal shapes, and entries that differ by at most a tolerance times a unit, by default the largest."""
    actual, expected = (_numbers(x) for x in (actual, expected))
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    unit = abs(expected).max(initial=0.0) if unit is None else _numbers(unit)
    error = abs(actual - expected)
    assert (error <= tolerance * unit).all(), f"off by {error.max():.3g}, unit {unit}"


def _numbers(x) -> np.ndarray:
    return (x.detach().double().numpy() if isinstance(x, Tensor) else np.asarray(x)).astype(np.float64)


def eps(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps


def outcome(function, *args, **options):
    """The result, or None where an error of isospan refuses the input; every other error fails the property."""
    try:
        return function(*args, **options)
    except IsospanError:
        return None


def tensors_in(result) -> list[Tensor]:
    """All floating-point tensors in a result of any kind."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, dict):
        result = list(result.values())
    elif hasattr(result, "__dataclass_fields__"):
        result = [getattr(result, name) for name in result.__dataclass_fields__]
    return [tensor for part in result for tensor in tensors_in(part)] if isinstance(result, list | tuple) else []


def unchanged(*inputs: Tensor):
    """A check, to be called later, that tensors hold the numbers that they hold now."""
    before = [x.detach().clone() for x in inputs]
    return lambda: all(torch.equal(x.detach(), old) for x, old in zip(inputs, before, strict=True))
