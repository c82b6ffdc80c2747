"""Decoders against numpy's least squares."""

import numpy as np
import pytest
import torch

from isospan.errors import NameMismatchError, NonFiniteError, OptionError, ShapeError
from isospan.moments import Moments
from isospan.subspaces import decoders_from_moments, fit_decoders


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def lstsq(W, Z, Y, rcond=None):
    Y = Y.reshape(len(Z), -1)
    S, Yc = (Z - Z.mean(0)) @ W.T, Y - Y.mean(0)
    return np.linalg.lstsq(S.numpy(), Yc.numpy(), rcond=rcond)[0]


@pytest.fixture
def data():
    Z = randn(60, 8) @ randn(8, 8) + 5
    Y = {"a": Z[:, :6].reshape(60, 2, 3) ** 2, "b": randn(60)}
    W = {"a": torch.linalg.qr(randn(8, 3))[0].T, "b": torch.linalg.qr(randn(8, 2))[0].T}
    return Z, Y, W


def test_equals_numpy(data):
    Z, Y, W = data
    A, from_moments = fit_decoders(W, Z, Y), decoders_from_moments(Moments.of(Z, Y), W)
    for name in W:
        np.testing.assert_allclose(A[name], lstsq(W[name], Z, Y[name]), rtol=1e-10, atol=1e-11)
        # normal equations: the condition number, about 10, squared
        np.testing.assert_allclose(from_moments[name], A[name], rtol=1e-9, atol=1e-10)


DEFICIENT = {
    "dependent rows": lambda Z, W: (Z, torch.cat([W, W[:1]])),
    "latents of low rank": lambda Z, W: (Z[:, :1] @ randn(1, 8), W),
    "fewer samples than rows": lambda Z, W: (Z[:3], W),
    "more rows than dimensions": lambda Z, W: (Z, randn(12, 8)),
}


@pytest.mark.parametrize("case", DEFICIENT)
def test_rank_deficient_is_of_minimum_norm(data, case):
    Z, Y, W = data
    Z, W_a = DEFICIENT[case](Z, W["a"])
    Y_a = {"a": Y["a"][: len(Z)]}
    expected = lstsq(W_a, Z, Y_a["a"], rcond=1e-10)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(fit_decoders({"a": W_a}, Z, Y_a)["a"], expected, rtol=0, atol=1e-9 * scale)
    from_moments = decoders_from_moments(Moments.of(Z, Y_a), {"a": W_a})["a"]
    np.testing.assert_allclose(from_moments, expected, rtol=0, atol=1e-6 * scale)  # the condition number squared


def test_ridge(data):
    Z, Y, W = data
    S, y = (Z - Z.mean(0)) @ W["a"].T, Y["a"].flatten(1)
    lam = 0.2 * S.square().sum() / 3
    expected = torch.linalg.solve(S.T @ S + lam * torch.eye(3), S.T @ (y - y.mean(0)))
    # the multiple of the identity is float32, so lam has 1e-7
    torch.testing.assert_close(fit_decoders(W, Z, Y, ridge=0.2)["a"], expected, rtol=1e-6, atol=1e-7)
    from_moments = decoders_from_moments(Moments.of(Z, Y), W, ridge=0.2)
    torch.testing.assert_close(from_moments["a"], fit_decoders(W, Z, Y, ridge=0.2)["a"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "result"), [(torch.float16, torch.float32), (torch.bfloat16, torch.float32)])
def test_half_precision(data, dtype, result):
    Z, Y, W = data
    Z = Z.to(dtype)
    A = fit_decoders(W, Z, Y)
    assert A["a"].dtype == result
    np.testing.assert_allclose(A["a"], lstsq(W["a"], Z.double(), Y["a"]), rtol=1e-5, atol=1e-5)  # result in float32


def test_carries_no_gradient(data):
    Z, Y, W = data
    A = fit_decoders(W, Z.requires_grad_(), Y)
    assert not any(t.requires_grad for t in A.values())


def test_bad_input(data):
    Z, Y, W = data
    with pytest.raises(NameMismatchError, match="W must name the quantities of the targets"):
        fit_decoders({"a": W["a"]}, Z, Y)
    with pytest.raises(ShapeError, match="with D = 8, got"):
        fit_decoders(W | {"a": W["a"][:, :5]}, Z, Y)
    with pytest.raises(OptionError, match="ridge must be a number of at least 0, got -1"):
        fit_decoders(W, Z, Y, ridge=-1)
    with pytest.raises(NameMismatchError, match="W must name the quantities of the moments"):
        decoders_from_moments(Moments.of(Z, Y), {"a": W["a"]})
    Z[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="Latents z must be finite"):
        fit_decoders(W, Z, Y)


@pytest.mark.parametrize(("unit_z", "unit_y"), [(1e30, 1e-15), (1e-30, 1e15)])
def test_decoders_that_float32_cannot_hold_are_refused(unit_z, unit_y):
    z = randn(8, 2)
    W, Y = {"a": torch.eye(2)[:1]}, {"a": (unit_y * z[:, :1]).float()}
    with pytest.raises(NonFiniteError, match=r"within the range of torch\.float32"):
        fit_decoders(W, (unit_z * z).float(), Y)
    zeros = fit_decoders(W, (unit_z * z).float(), {"a": torch.ones(8)})["a"]
    assert torch.equal(zeros, torch.zeros(1, 1))
