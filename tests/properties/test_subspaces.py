"""Solved subspaces and decoders against closed forms in NumPy, and what they are invariant under."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.guided import fit_decoders, principal_directions, solve_subspaces, subspace_change
from isospan.linalg import principal_angles

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
    units,
)

methods = st.sampled_from(["covariance", "regression", "correlation"])


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


@given(batches(noise=0.5), methods, st.integers(1, 6), layouts)
def test_no_subspace_does_better_and_decoders_are_least_squares(batch, method, k, layout):
    other = batch.map(lambda x: laid_out(x, layout))
    same = unchanged(other.z, *other.y.values())
    space = solve_subspaces(other.z, other.y, k=k, method=method)
    tolerance = 1e-8 if batch.z.dtype == torch.float64 else 2e-3
    for q, best, reached in shares(batch, space.W, method, 1e-3):
        assert abs(reached - best) <= tolerance * best
        W = space.W[q]
        assert len(W) == min(k, *W.shape[1:], space.V[q].numel()) and W.dtype == batch.z.dtype
        near(W @ W.mT, torch.eye(len(W)), 20 * eps(W), unit=1.0)
        near(space.V[q].norm(), 1.0, 20 * eps(W))
    assert same()


@given(plain_batches, methods, st.booleans(), seeds)
def test_rotations_orders_and_units_change_nothing(batch, method, orthogonal_subspaces, seed):
    D = batch.z.shape[1]
    k = 1 if orthogonal_subspaces else 2
    if orthogonal_subspaces and len(batch.y) > D:
        return
    Q, order = orthogonal(seed, D), torch.randperm(len(batch.z), generator=torch.Generator().manual_seed(seed))
    moved = {name: (3.0 if method == "covariance" else 300.0) * y[order] - 5 for name, y in reversed(batch.y.items())}
    z = 0.01 * (batch.z @ Q.mT)[order] + 2
    options = {"k": k, "method": method, "orthogonal": orthogonal_subspaces, "ridge": 1e-3}
    before, after = solve_subspaces(batch.z, batch.y, **options), solve_subspaces(z, moved, **options)
    values = {q: reached for q, _, reached in shares(batch, before.W, method, 1e-3)}
    turned_back = {q: after.W[q] @ Q for q in before.W}
    same = {q: reached for q, _, reached in shares(batch, turned_back, method, 1e-3)}
    if orthogonal_subspaces:  # a sum over quantities, each in units of its variance
        whole = torch.cat(list(after.W.values()))
        near(whole @ whole.mT, torch.eye(len(whole)), 1e-12)
    else:
        assert all(abs(values[q] - same[q]) <= 1e-8 * values[q] for q in values)


@given(batches(), seeds, st.integers(1, 4), units, st.booleans(), layouts)
def test_fitted_decoders_are_those_of_numpy(batch, seed, k, unit, dependent, layout):
    z, y = batch.double()
    D, dtype = z.shape[1], batch.z.dtype
    W = matrix(seed, k, D, 1 if dependent else None).to(dtype)
    other = batch.map(lambda x: laid_out(x, layout))
    A = fit_decoders(dict.fromkeys(y, W), other.z, other.y)
    S = (z - z.mean(0)) @ W.double().numpy().T
    for q, y_q in y.items():
        residual = S @ A[q].double().numpy() - (y_q - y_q.mean(0))
        best, _, _, _ = np.linalg.lstsq(
            S / abs(S).max(), y_q - y_q.mean(0), rcond=1e-12 if dtype == torch.float64 else 1e-6
        )
        least = np.linalg.norm(S / abs(S).max() @ best - (y_q - y_q.mean(0)))
        assert np.linalg.norm(residual) <= least + 100 * eps(A[q]) * (
            1e3 * np.linalg.norm(y_q - y_q.mean(0)) + np.linalg.norm(y_q)
        )
        assert A[q].dtype == dtype and A[q].isfinite().all()


@given(batches(noise=0.0))
def test_principal_directions_are_the_leading_singular_pair(batch):
    _, C_zy, _ = covariances(batch)
    for q, (w, v) in principal_directions(batch.z, batch.y).items():
        C = C_zy[q] / np.linalg.norm(C_zy[q])
        reached = w.double().numpy() @ C @ v.double().numpy()
        assert abs(reached - np.linalg.norm(C, 2)) <= 1e3 * eps(w)


@given(seeds, st.integers(1, 3), st.integers(1, 3), dtypes, st.sampled_from([1.0, 1e-3, 50.0]))
def test_change_of_bases_is_that_of_their_directions(seed, k, k_new, dtype, unit):
    old, new = orthogonal(seed, 5)[:k], orthogonal(seed + 1, 5)[:k_new]
    change = outcome(subspace_change, unit * old.to(dtype), new.to(dtype))
    if change is not None:
        G = abs(old.numpy() @ new.numpy().T)
        near(change["per_dir_cos"], G.max(1), 50 * torch.finfo(dtype).eps, unit=1.0)
        near(change["mean_angle_deg"], np.degrees(np.arccos(np.minimum(G.max(1), 1))).mean(), 1e-3, unit=1.0)


@given(seeds, st.integers(2, 6))
def test_an_old_basis_keeps_the_meaning_of_coordinates(seed, n):
    z = normal(seed, 40, 6)
    y = Batch(z, {"a": z[:, :n] + 0.1 * normal(seed + 1, 40, min(n, 6))}).y
    first = solve_subspaces(z, y, k=2)
    again = solve_subspaces(z, y, k=2, previous=first)
    near(again.W["a"], first.W["a"], 1e-9)
    assert principal_angles(again.W["a"], first.W["a"]).max() < 1e-9
