"""The truncated decomposition against the full SVD of numpy, in every regime of size and spectrum."""

import numpy as np
import pytest
import torch
from scipy.linalg import LinAlgError

from isospan.errors import NonFiniteError
from isospan.linalg import top_left_singular
from isospan.settings import config

SHAPES = [(20, 9), (9, 20), (190, 220), (220, 190)]


def graded(D, P, decay):
    """A matrix whose singular values fall like i^-decay."""
    r = min(D, P)
    U, V = (torch.linalg.qr(torch.randn(n, r, dtype=torch.float64))[0] for n in (D, P))
    return (U * torch.arange(1, r + 1, dtype=torch.float64) ** -decay) @ V.T


def check(C, k, tolerance):
    W, s = top_left_singular(C, k)
    U, S, _ = np.linalg.svd(C.numpy())
    # squaring the singular values costs as many digits as their square spreads over
    np.testing.assert_allclose(W @ W.T, np.eye(k), atol=1e-14 * k + 1e-16 * (S[0] / S[k - 1]) ** 2)
    # singular values are relative to the largest
    np.testing.assert_allclose(s, S[:k], rtol=0, atol=1e-14 * k * S[0])
    rest = W.numpy() - W.numpy() @ U[:, :k] @ U[:, :k].T
    assert np.linalg.norm(rest, 2) < tolerance
    return W, s


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 5, 9])
@pytest.mark.parametrize("decay", [0.5, 1, 2, 4])
def test_spans_the_leading_singular_subspace(shape, k, decay):
    if k < min(shape):
        check(graded(*shape, decay), k, 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_without_gaps(shape):
    # gaps between neighbours are about 1 % of the largest value, so rounding grows a hundredfold
    check(torch.randn(shape, dtype=torch.float64), 7, 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_vectors(shape):
    k = min(shape)
    W, _ = top_left_singular(torch.randn(shape, dtype=torch.float64), k)
    np.testing.assert_allclose(W @ W.T, np.eye(k), atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_any_scale(shape, scale):
    C = graded(*shape, 1)
    W, s = top_left_singular(C * scale, 4)
    expected, s_expected = top_left_singular(C, 4)
    torch.testing.assert_close((W @ expected.T).abs(), torch.eye(4, dtype=W.dtype), rtol=0, atol=1e-10)
    torch.testing.assert_close(s / scale, s_expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [0, 2])
def test_rank_below_k(shape, rank):
    C = torch.randn(shape[0], rank, dtype=torch.float64) @ torch.randn(rank, shape[1], dtype=torch.float64)
    W, s = top_left_singular(C, 5)
    np.testing.assert_allclose(W @ W.T, np.eye(5), atol=1e-12)
    assert (s[rank:] <= 1e-13 * s[0]).all()
    assert (C - W[:rank].T @ W[:rank] @ C).abs().max() <= 1e-12 * C.abs().max()


def test_tie_at_the_cut_returns_an_invariant_subspace():
    """Of three equal values two are asked for: any two vectors of the three-dimensional space will do."""
    s = torch.ones(200, dtype=torch.float64)
    s[:4] = torch.tensor([3.0, 2, 2, 2])
    U, V = (torch.linalg.qr(torch.randn(200, 200, dtype=torch.float64))[0] for _ in range(2))
    W, values = top_left_singular((U * s) @ V.T, 3)
    torch.testing.assert_close(values, torch.tensor([3.0, 2, 2], dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.linalg.matrix_norm(W - W @ U[:, :4] @ U[:, :4].T, 2) < 1e-9


def test_the_same_on_every_call():
    C = torch.randn(200, 180, dtype=torch.float64)
    assert torch.equal(top_left_singular(C, 6)[0], top_left_singular(C, 6)[0])


def test_falls_back_to_the_full_decomposition_where_lapack_fails(monkeypatch):
    calls = []

    def failing(*args, **kwargs):
        calls.append(args)
        raise LinAlgError("did not converge")

    monkeypatch.setattr("scipy.linalg.eigh", failing)
    check(graded(90, 120, 0.5), 6, 1e-12)
    assert calls


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_the_smallest_sizes(n):
    for k in range(1, n + 1):
        check(torch.randn(n, 9, dtype=torch.float64), k, 1e-9)
        check(torch.randn(9, n, dtype=torch.float64), k, 1e-9)


@pytest.mark.parametrize("shape", [(300, 310), (310, 300)])
def test_clusters(shape):
    """Eigenvalues that agree to 1e-12 in groups: the hardest case for vectors that shall be orthogonal."""
    U, V = (torch.linalg.qr(torch.randn(n, 300, dtype=torch.float64))[0] for n in shape)
    s = torch.arange(10, 0, -1, dtype=torch.float64).repeat_interleave(30) + 1e-12 * torch.randn(300).double()
    for k in (30, 60, 300):
        check((U * s) @ V.T, k, 1e-9)


@pytest.mark.parametrize("unit", [1e-30, 1e-21, 1.0, 1e21, 1e30])
def test_any_unit_in_single_precision(unit):
    """Squares of the entries are then outside of what float32 holds."""
    C = torch.diag(torch.tensor([1.0, 5.0, 3.0]))[:, torch.tensor([2, 0, 1])] * unit
    W, s = top_left_singular(C, 2)
    torch.testing.assert_close(s / unit, torch.tensor([5.0, 3.0]), rtol=1e-5, atol=0)
    torch.testing.assert_close(W.abs(), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_is_an_error_and_not_an_endless_loop(bad):
    C = graded(9, 20, 1)
    C[3, 4] = bad
    with pytest.raises(NonFiniteError, match="1 NaN or infinite of 180"):
        top_left_singular(C, 2)


@pytest.mark.parametrize("shape", [(30, 40), (40, 30)])
def test_a_full_decomposition_that_does_not_converge_is_taken_from_the_gram_matrix(monkeypatch, caplog, shape):
    C = graded(*shape, 4)  # so large a spread of values is left to the full SVD

    def fail(*args, **kwargs):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "svd", fail)
    with caplog.at_level("WARNING", "isospan"):
        W, s = top_left_singular(C, 9)
    assert "did not converge" in caplog.text
    np.testing.assert_allclose(W @ W.T, np.eye(9), atol=1e-14)
    # the ninth value is 1.5e-4 of the first, and squaring keeps 8 digits of that
    np.testing.assert_allclose(s, np.linalg.svd(C.numpy())[1][:9], rtol=1e-7)


def test_the_cpu_fallback_gives_the_same():
    C = graded(30, 40, 1)
    with config.context(use_cpu_fallback=True):
        assert torch.equal(top_left_singular(C, 3)[0], top_left_singular(C, 3)[0])
