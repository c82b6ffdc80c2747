"""Statistics and least squares under a group equal those of the data augmented by every element, in NumPy."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from isospan import symmetric

from .strategies import (
    dtypes,
    finite_groups,
    groups,
    laid_out,
    layouts,
    matrix,
    near,
    normal,
    representations,
    seeds,
    unchanged,
    units,
)


@st.composite
def signals(draw, groups=finite_groups, names=2):
    """Representations of one group, samples (N, D) of each, and both in NumPy."""
    group, n, seed = draw(groups), draw(st.integers(2, 12)), draw(seeds)
    reps = [draw(representations(group, max_size=6)) for _ in range(names)]
    dtype = draw(dtypes)
    xs = [
        ((normal(seed + i, n, rep.size) + draw(st.sampled_from([0.0, 5.0]))) * draw(units)).to(dtype)
        for i, rep in enumerate(reps)
    ]
    return reps, xs


def augmented(x, rep):
    """All elements of the group applied to all samples."""
    return np.concatenate([x.detach().double().numpy() @ rep(g).T for g in rep.group.elements])


def tolerance(x):
    return 1e-10 if x.dtype == torch.float64 else 1e-4


@given(signals(), layouts, st.integers(0, 1))
def test_mean_variance_and_covariance_of_the_augmented_data(case, layout, correction):
    # sums over 24 elements and 12 samples; float32 squares of data 5 deviations off round by 1e-6
    (rep_x, rep_y), (x, y) = case
    x, y = laid_out(x, layout), laid_out(y, layout)
    same = unchanged(x, y)
    ax, ay = augmented(x, rep_x), augmented(y, rep_y)
    n, order = len(x), rep_x.group.order()
    cx, cy = ax - ax.mean(0), ay - ay.mean(0)
    unit_x, unit_y = abs(ax).max(), abs(ay).max()
    near(symmetric.mean(x, rep_x), ax.mean(0), tolerance(x), unit=unit_x)
    if x.dtype == torch.float64 or (
        1e-15 < unit_x * unit_y < 1e30 and 1e-15 < unit_x < 1e15
    ):  # squares that float32 holds
        variance = (cx**2).sum(0) / (order * (n - correction))
        near(symmetric.var(x, rep_x, correction=correction), variance, tolerance(x), unit=unit_x**2)
        C = symmetric.cov(x, y, rep_x, rep_y, correction=correction)
        near(C, cy.T @ cx / (order * (n - correction)), tolerance(x), unit=unit_x * unit_y)
        assert C.dtype == x.dtype
    assert same()


@given(signals(), st.sampled_from([0.0, 0.1]))
def test_least_squares_of_the_augmented_data(case, ridge):
    # directions near the cutoff may stay or go; a ridge of 0.1 bounds the condition, and 6e-7 was seen in float32
    (rep_x, rep_y), (x, y) = case
    unit_x, unit_y = (float(abs(s).max()) for s in (x, y))
    assume(1e-35 < unit_y / unit_x < 1e35)  # float32 holds A
    A = symmetric.lstsq(x, y, rep_x, rep_y, ridge=ridge)
    ax, ay = augmented(x, rep_x) / unit_x, augmented(y, rep_y) / unit_y
    assert A.dtype == x.dtype
    if not ridge:  # residuals, since directions near the cutoff are free
        best = np.linalg.lstsq(ax, ay, rcond=1e-9 if x.dtype == torch.float64 else 1e-4)[0]
        residual, least = (np.linalg.norm(ax @ M - ay) for M in (A.double().numpy().T * (unit_x / unit_y), best))
        assert residual <= least + tolerance(x) * np.linalg.norm(ay)
    else:
        G = ax.T @ ax
        G += ridge * np.trace(G) / len(G) * np.eye(len(G))
        unit_A = unit_y / unit_x
        near(A, np.linalg.solve(G, ax.T @ ay).T * unit_A, 1e-9 if x.dtype == torch.float64 else 1e-3, unit=unit_A)


@given(signals(groups), st.randoms(use_true_random=False))
def test_results_commute_with_every_group(case, random):
    """Also with those that have infinitely many elements; and the order of samples does not matter."""
    # products with matrices of size 6 at most, and for A a solve with a ridge of 0.1
    (rep_x, rep_y), (x, y) = case
    x, y = x.double() / x.double().abs().max(), y.double() / y.double().abs().max()
    order = random.sample(range(len(x)), len(x))
    C, A = symmetric.cov(x, y, rep_x, rep_y), symmetric.lstsq(x, y, rep_x, rep_y, ridge=0.1)
    near(symmetric.cov(x[order], y[order], rep_x, rep_y), C, 1e-12, unit=1.0)
    near(symmetric.lstsq(x[order], y[order], rep_x, rep_y, ridge=0.1), A, 1e-11, unit=100.0)
    rng = np.random.default_rng(0)
    for g in [rep_x.group.sample(generator=rng) for _ in range(2)]:
        gx, gy = torch.from_numpy(rep_x(g)), torch.from_numpy(rep_y(g))
        near(gy @ C, C @ gx, 1e-11, unit=1.0)
        near(gy @ A, A @ gx, 1e-10, unit=10.0)
        near(symmetric.cov(x @ gx.mT, y @ gy.mT, rep_x, rep_y), C, 1e-11, unit=1.0)
        near(gx @ symmetric.mean(x, rep_x), symmetric.mean(x, rep_x), 1e-12, unit=1.0)


@given(signals(), seeds)
def test_projections_are_the_group_averages(case, seed):
    # averages over at most 24 products of orthogonal matrices; float32 data round by 1e-7
    (rep_x, rep_y), (x, _) = case
    M = matrix(seed, rep_y.size, rep_x.size)
    average = np.mean([rep_y(g).T @ M.numpy() @ rep_x(g) for g in rep_x.group.elements], 0)
    near(symmetric.equivariant_projection(M, rep_x, rep_y), average, 1e-12, unit=1.0)
    P = symmetric.invariant_projector(rep_x)
    near(P, np.mean([rep_x(g) for g in rep_x.group.elements], 0), 1e-12, unit=1.0)
    orbit, unit = symmetric.orbit(x, rep_x), float(x.abs().max())
    near(torch.cat(list(orbit)), augmented(x, rep_x), tolerance(x), unit=unit)
    near(symmetric.group_average(x, rep_x), orbit.double().mean(0), tolerance(x), unit=unit)
