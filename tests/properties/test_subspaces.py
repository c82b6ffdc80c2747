"""Solved subspaces and decoders against closed forms in NumPy, and what they are invariant under."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from isospan.compat.spacelearn._solve import principal_directions, solve_subspaces
from isospan.linalg import principal_angles
from isospan.subspaces import fit_decoders, subspace_change

from .strategies import (
    Batch,
    batches,
    dtypes,
    eps,
    laid_out,
    layouts,
    matrix,
    near,
    normal,
    orthogonal,
    outcome,
    plain_batches,
    seeds,
    unchanged,
)

methods = st.sampled_from(["covariance", "regression", "correlation"])
of_low_rank = pytest.mark.filterwarnings(
    "ignore:Quantity '.' covaries with only:isospan.errors.NumericalWarning",
    "ignore:k is at most:isospan.errors.NumericalWarning",
)
"""Batches have latents of any rank and quantities of any size, and k may be more than either."""


def covariances(batch):
    """C_zz, {name: C_zy} and {name: C_yy} in NumPy."""
    z, y = batch.double()
    zc, yc = z - z.mean(0), {name: y_q - y_q.mean(0) for name, y_q in y.items()}
    n = len(z)
    return zc.T @ zc / n, {q: zc.T @ v / n for q, v in yc.items()}, {q: v.T @ v / n for q, v in yc.items()}


def root_inverse(C, ridge):
    values, Q = np.linalg.eigh(C + ridge * np.trace(C) / len(C) * np.eye(len(C)))
    keep = values > 1e-12 * values[-1]
    return (Q[:, keep] / np.sqrt(values[keep])).T


def shares(batch, W, method, ridge):
    """What the k leading directions can reach at most, and what W reaches, of every quantity."""
    C_zz, C_zy, C_yy = covariances(batch)
    for q, W_q in W.items():
        W_q, T = W_q.double().numpy(), C_zy[q]
        if method == "correlation":
            T = T @ root_inverse(C_yy[q], ridge).T
        G = (
            np.eye(len(C_zz))
            if method == "covariance"
            else C_zz + ridge * np.trace(C_zz) / len(C_zz) * np.eye(len(C_zz))
        )
        best = np.linalg.svd((T if method == "covariance" else root_inverse(G, 0) @ T), compute_uv=False)
        reached = np.linalg.norm(root_inverse(W_q @ G @ W_q.T, 0) @ W_q @ T) ** 2
        yield q, (best[: len(W_q)] ** 2).sum(), reached


@of_low_rank
@given(batches(noise=0.5), methods, st.integers(1, 6), layouts)
def test_no_subspace_does_better_and_decoders_are_least_squares(batch, method, k, layout):
    # rows are orthonormal to some eps; a share is of second order in the error of W, and float32 data that are 1e3
    # standard deviations off hold 1e-4 of them, times a condition that a ridge of 1e-3 bounds
    other = batch.map(lambda x: laid_out(x, layout))
    same = unchanged(other.z, *other.y.values())
    space = solve_subspaces(other.z, other.y, k=k, method=method)
    tolerance = 1e-8 if batch.z.dtype == torch.float64 else 2e-3
    for q, best, reached in shares(batch, space.W, method, 1e-3):
        assert abs(reached - best) <= tolerance * best
        W = space.W[q]
        assert len(W) == min(k, *W.shape[1:], space.V[q].numel())
        assert W.dtype == batch.z.dtype
        near(W @ W.mT, torch.eye(len(W)), 20 * eps(W), unit=1.0)
        near(space.V[q].norm(), 1.0, 20 * eps(W))
    assert same()


@of_low_rank
@given(plain_batches, methods, st.booleans(), seeds)
def test_rotations_orders_and_units_change_nothing(batch, method, orthogonal_subspaces, seed):
    # shares are of second order in the error of W; orthogonal subspaces come from iterations, which end earlier
    D = batch.z.shape[1]
    assume(not orthogonal_subspaces or len(batch.y) <= D)
    Q, order = orthogonal(seed, D), torch.randperm(len(batch.z), generator=torch.Generator().manual_seed(seed))
    moved = {name: 30 * y[order] - 5 for name, y in reversed(batch.y.items())}
    options = {"k": 1 if orthogonal_subspaces else 2, "method": method, "orthogonal": orthogonal_subspaces}
    before = solve_subspaces(batch.z, batch.y, **options).W
    after = solve_subspaces(0.01 * (batch.z @ Q.mT)[order] + 2, moved, **options).W
    rotated_back = {q: after[q] @ Q for q in before}
    reached = [{q: value for q, _, value in shares(batch, W, method, 1e-3)} for W in (before, rotated_back)]
    if orthogonal_subspaces:  # the sum over quantities, each in units of its variance, is as large
        whole, (_, y) = torch.cat(list(after.values())), batch.double()
        near(whole @ whole.mT, torch.eye(len(whole)), 1e-12)
        scale = {q: y_q.shape[1] if method == "correlation" else y_q.var(0).sum() for q, y_q in y.items()}
        # there are several local optima, and rounding may decide which is reached: 0.1 % apart in one of these examples
        near(*(sum(values[q] / scale[q] for q in y) for values in reached), 2e-3)
    else:
        assert all(abs(reached[0][q] - reached[1][q]) <= 1e-8 * reached[0][q] for q in before)


@given(batches(), seeds, st.integers(1, 4), st.booleans(), layouts)
def test_fitted_decoders_are_those_of_numpy(batch, seed, k, dependent, layout):
    # a singular value near the cutoff may be kept or not: up to 1e5 eps of the data in the residual
    (z, y), dtype = batch.double(), batch.z.dtype
    W = matrix(seed, k, z.shape[1], 1 if dependent else None).to(dtype)
    other = batch.map(lambda x: laid_out(x, layout))
    A = outcome(fit_decoders, dict.fromkeys(y, W), other.z, other.y)
    if A is None:  # float32 does not hold them
        assert dtype == torch.float32
        return
    S = (z - z.mean(0)) @ W.double().numpy().T
    for q, y_q in y.items():
        unit, y_c = abs(S).max(), y_q - y_q.mean(0)
        best = np.linalg.lstsq(S / unit, y_c, rcond=1e-12 if dtype == torch.float64 else 1e-6)[0]
        residual, least = (np.linalg.norm(x - y_c) for x in (S @ A[q].double().numpy(), S / unit @ best))
        assert residual <= least + eps(A[q]) * (1e5 * np.linalg.norm(y_c) + 100 * np.linalg.norm(y_q))
        assert A[q].dtype == dtype


@given(batches(noise=0.0))
def test_principal_directions_are_the_leading_singular_pair(batch):
    # data that are 1e3 standard deviations off are held to 1e3 eps
    _, C_zy, _ = covariances(batch)
    for q, (w, v) in principal_directions(batch.z, batch.y).items():
        C = C_zy[q] / np.linalg.norm(C_zy[q])
        reached = w.double().numpy() @ C @ v.double().numpy()
        assert abs(reached - np.linalg.norm(C, 2)) <= 1e3 * eps(w)


@given(seeds, st.integers(1, 3), st.integers(1, 3), dtypes, st.sampled_from([1.0, 1e-3, 50.0]))
def test_change_of_bases_is_that_of_their_directions(seed, k, k_new, dtype, unit):
    # a cosine is rounded by some eps; degrees are exact to 5e-6 here, but less so near 0, where arccos is steep
    old, new = orthogonal(seed, 5)[:k], orthogonal(seed + 1, 5)[:k_new]
    change = outcome(subspace_change, unit * old.to(dtype), new.to(dtype))
    if change is not None:
        G = abs(old.numpy() @ new.numpy().T)
        near(change["per_dir_cos"], G.max(1), 50 * torch.finfo(dtype).eps, unit=1.0)
        near(change["mean_angle_deg"], np.degrees(np.arccos(np.minimum(G.max(1), 1))).mean(), 1e-3, unit=1.0)


@given(seeds, st.integers(2, 6))
def test_an_old_basis_keeps_the_meaning_of_coordinates(seed, n):
    # the same data: rounding over the gap between singular values
    z = normal(seed, 40, 6)
    y = Batch(z, {"a": z[:, :n] + 0.1 * normal(seed + 1, 40, min(n, 6))}).y
    first = solve_subspaces(z, y, k=2)
    again = solve_subspaces(z, y, k=2, previous=first)
    near(again.W["a"], first.W["a"], 1e-9)
    assert principal_angles(again.W["a"], first.W["a"]).max() < 1e-9
