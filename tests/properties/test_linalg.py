"""Decompositions and bases against NumPy and SciPy, at every rank, unit and memory layout."""

import numpy as np
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan import linalg

from .strategies import dtypes, eps, laid_out, layouts, matrix, near, orthogonal, seeds, units

sizes = st.integers(1, 7)
mild_units = st.integers(-12, 12).map(lambda exponent: 10.0**exponent)


@st.composite
def matrices(draw, units=units, dtypes=dtypes):
    """A matrix (m, n) and its rank."""
    m, n = draw(sizes), draw(sizes)
    rank = draw(st.integers(1, min(m, n)))
    A = (matrix(draw(seeds), m, n, rank) * draw(units)).to(draw(dtypes))
    return laid_out(A, draw(layouts)).detach(), rank


def unit_of(A):
    return float(np.linalg.svd(A.double().numpy(), compute_uv=False)[0])


@given(matrices())
def test_row_spans_and_complements(case):
    # backward stable: a few eps of the largest singular value, of matrices of at most seven rows
    W, rank = case
    basis, rest = linalg.orthonormal_rows(W), linalg.orthogonal_complement(W)
    assert (basis.shape, rest.shape) == ((rank, W.shape[1]), (W.shape[1] - rank, W.shape[1]))
    assert basis.dtype == rest.dtype == W.dtype
    whole = torch.cat([basis, rest])
    near(whole @ whole.mT, torch.eye(len(whole)), 50 * eps(W))
    near(W @ rest.mT, torch.zeros(len(W), len(rest)), 50 * eps(W), unit=unit_of(W))


@given(matrices())
def test_singular_values(case):
    # backward stable: a few eps of the largest; the basis of the last lines has the condition 2
    A, rank = case
    expected = np.linalg.svd(A.double().numpy(), compute_uv=False)
    near(linalg.svdvals(A), expected, 50 * eps(A), unit=expected[0])
    near(linalg.gram_spectrum(A), expected**2, 1e-12, unit=expected[0] ** 2)
    U, S, Vh = linalg.svd(A)
    near(U * S @ Vh, A, 50 * eps(A), unit=expected[0])
    k = min(rank, 3)
    W, s = linalg.top_left_singular(A.double(), k)
    near(s, expected[:k], 1e-9, unit=expected[0])
    near(W @ W.mT, torch.eye(k), 1e-9)
    near(torch.linalg.vector_norm(W @ A.double(), dim=1), expected[:k], 1e-9, unit=expected[0])


@given(matrices(), st.sampled_from([0.0, 1e-6, 1.0]), seeds)
def test_normal_equations(case, ridge, seed):
    # a Gram matrix squares the condition, and without ridge its cutoff decides the rank: 2e-9 was seen
    X, rank = case
    X = X.double()
    Y = X @ matrix(seed, X.shape[1], 2)
    A = linalg.solve_gram(X.mT @ X, X.mT @ Y, ridge=ridge)
    x, lam = X.numpy() / unit_of(X), ridge * float(X.square().sum()) / X.shape[1] / unit_of(X) ** 2
    U, s, Vh = np.linalg.svd(x, full_matrices=False)
    U, s, Vh = U[:, :rank], s[:rank], Vh[:rank]
    near(A, Vh.T @ ((s / (s**2 + lam))[:, None] * (U.T @ (Y.numpy() / unit_of(X)))), 1e-7)


tilts = st.sampled_from([0.0, 1e-12, 1e-5, 0.3, 0.7, 1.0, np.pi / 2])


@given(seeds, st.lists(tilts, min_size=1, max_size=4), st.integers(0, 2), mild_units, dtypes)
def test_principal_angles_are_those_that_were_built_in_any_basis(seed, angles, extra, unit, dtype):
    # angles by sines and cosines are exact to a few eps at any size (Knyazev and Argentati, 2002)
    theta, k = torch.tensor(sorted(angles), dtype=torch.float64), len(angles)
    Q = orthogonal(seed, 2 * k + extra)
    W1, W2 = Q[: k + extra], theta.cos()[:, None] * Q[:k] + theta.sin()[:, None] * Q[k + extra :]
    W1, W2 = unit * matrix(seed + 2, k + extra, k + extra) @ W1, matrix(seed + 4, k, k) @ W2
    near(linalg.principal_angles(W1.to(dtype), W2.to(dtype)), theta, 30 * torch.finfo(dtype).eps, unit=1.0)
    near(linalg.grassmann_distance(W2, W1), theta.norm(), 1e-14, unit=1.0)


@given(seeds, sizes, st.integers(0, 4), mild_units)
def test_frames_and_rotations(seed, k, extra, unit):
    # decompositions of matrices of condition 2 in float64: 1e-15 was seen
    D = k + extra
    M, W = unit * matrix(seed, k, D), orthogonal(seed + 1, D)[:k]
    near(linalg.nearest_frame(M), scipy.linalg.polar(M.numpy())[0], 1e-12)
    nested = linalg.nested_frame(M)
    for j in range(1, k + 1):
        near(linalg.principal_angles(nested[:j], M[:j]), torch.zeros(j), 1e-10, unit=1.0)
    R = orthogonal(seed + 2, k)
    near(linalg.procrustes_rotation(R @ W, W), W, 1e-12)
    completed = linalg.complete_rows(W[: k // 2], k)
    near(completed @ completed.mT, torch.eye(k), 1e-12)
    assert torch.equal(linalg.fix_signs(-M), linalg.fix_signs(M))
