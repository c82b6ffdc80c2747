"""The four decompositions of spacelearn against numpy, for every solver mode, shape and dtype."""

import logging

import numpy as np
import pytest
import torch

from isospan.compat.spacelearn.settings import config
from isospan.compat.spacelearn.util import full, left, right, singular_values
from isospan.errors import DtypeError, NonFiniteError, ShapeError

SHAPES = [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (1, 1)]
MODES = ["auto", "svd", "eigen", "lowrank"]
# "eigen" squares singular values
TOLERANCE = {"auto": 1e-13, "svd": 1e-13, "eigen": 1e-7, "lowrank": 1e-13}


def numpy_values(A):
    return np.linalg.svd(A.double().numpy(), compute_uv=False)


def assert_orthonormal_columns(Q, tolerance):
    identity = torch.eye(Q.shape[-1], dtype=Q.dtype).expand(*Q.shape[:-2], -1, -1)
    torch.testing.assert_close(Q.mT @ Q, identity, rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_full_reconstructs(mode, shape):
    A, r = torch.randn(shape, dtype=torch.float64), min(shape)
    with config.context(solver_mode=mode):
        U, S, Vh = full(A)
    assert (U.shape, S.shape, Vh.shape) == ((shape[0], r), (r,), (r, shape[1]))
    tolerance = 10 * TOLERANCE[mode]
    torch.testing.assert_close((U * S) @ Vh, A, rtol=0, atol=tolerance)
    np.testing.assert_allclose(S, numpy_values(A), rtol=0, atol=tolerance)
    assert_orthonormal_columns(U, tolerance)
    assert_orthonormal_columns(Vh.mT, tolerance)
    assert (S.diff() <= 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sides_agree_with_full(mode, shape):
    A = torch.randn(shape, dtype=torch.float64)
    with config.context(solver_mode=mode):
        U, S = left(A)
        Vh, S_right = right(A)
        values = singular_values(A)
    tolerance = 10 * TOLERANCE[mode]
    for s in (S, S_right, values):
        np.testing.assert_allclose(s, numpy_values(A), rtol=0, atol=tolerance)
    torch.testing.assert_close((U.mT @ A).norm(dim=1), S, rtol=0, atol=tolerance)
    torch.testing.assert_close((A @ Vh.mT).norm(dim=0), S, rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_rank_deficient(mode, shape):
    A = torch.randn(shape[0], 3, dtype=torch.float64) @ torch.randn(3, shape[1], dtype=torch.float64)
    with config.context(solver_mode=mode):
        U, S, Vh = full(A)
    assert (S >= 0).all()
    torch.testing.assert_close((U * S) @ Vh, A, rtol=0, atol=1e-6)  # "eigen" loses half of the digits of zero
    assert_orthonormal_columns(U, 1e-6)
    assert_orthonormal_columns(Vh.mT, 1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_batch_dimensions_lead(mode):
    A = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    with config.context(solver_mode=mode):
        U, S, Vh = full(A)
    torch.testing.assert_close((U * S.unsqueeze(-2)) @ Vh, A, rtol=0, atol=1e-9)
    np.testing.assert_allclose(S[1, 2], numpy_values(A[1, 2]), rtol=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_decomposed_in_float32(mode, dtype):
    A = torch.randn(8, 5).to(dtype)
    with config.context(solver_mode=mode):
        U, S, Vh = full(A)
    assert {U.dtype, S.dtype, Vh.dtype} == {torch.float32}
    np.testing.assert_allclose(S, numpy_values(A), rtol=1e-3, atol=1e-3)  # float32, squared by "eigen"


@pytest.mark.parametrize("mode", MODES)
def test_auto_is_exact_and_lowrank_never_short_on_large_matrices(mode):
    """A predecessor returned 6 vectors above 100,000 entries."""
    A = torch.randn(340, 300)
    with config.context(solver_mode=mode):
        U, S = left(A)
    assert U.shape == (340, 300)
    if mode != "eigen":
        np.testing.assert_allclose(S, numpy_values(A), rtol=1e-4)  # float32


@pytest.mark.parametrize("mode", MODES)
def test_full_matrices(mode):
    A = torch.randn(6, 4, dtype=torch.float64)
    with config.context(solver_mode=mode, use_full_matrix=True):
        U, S, Vh = full(A)
        assert right(A.mT)[0].shape == (6, 6)
    assert (U.shape, S.shape, Vh.shape) == ((6, 6), (4,), (4, 4))
    assert_orthonormal_columns(U, 1e-9)
    torch.testing.assert_close((U[:, :4] * S) @ Vh, A, rtol=0, atol=10 * TOLERANCE[mode])


def test_lowrank_leaves_the_random_numbers_of_the_user_alone():
    A, before = torch.randn(8, 5), torch.get_rng_state()
    with config.context(solver_mode="lowrank"):
        assert torch.equal(left(A)[0], left(A)[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_auto_falls_back_where_the_svd_does_not_converge(monkeypatch, caplog):
    A = torch.randn(5, 3, dtype=torch.float64)

    def fail(*args, **kwargs):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "svd", fail)
    with caplog.at_level(logging.WARNING, "isospan"):
        U, S, Vh = full(A)
    assert "did not converge" in caplog.text
    torch.testing.assert_close((U * S) @ Vh, A)
    with config.context(solver_mode="svd"), pytest.raises(torch.linalg.LinAlgError):
        full(A)


@pytest.mark.parametrize("routine", [left, right, full, singular_values])
def test_the_matrix_is_taken_to_the_cpu(routine):
    """A tensor on the meta device says so when it is asked for its entries."""
    with config.context(use_cpu_fallback=True), pytest.raises(NotImplementedError, match="out of meta"):
        routine(torch.empty(3, 3, device="meta"))


def test_bad_matrices():
    with pytest.raises(ShapeError, match=r"non-empty matrix \(m, n\), got shape \(3,\)"):
        left(torch.ones(3))
    with pytest.raises(ShapeError, match=r"got shape \(0, 3\)"):
        full(torch.ones(0, 3))
    with pytest.raises(NonFiniteError, match="The matrix must be finite, got 1 NaN"):
        singular_values(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(DtypeError, match=r"floating point, got torch\.int64"):
        right(torch.ones(2, 2, dtype=torch.int64))
