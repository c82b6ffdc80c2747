"""Excess leakage against regressions on the data, and the orthogonal frame that avoids it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from isospan.compat.spacelearn._solve import solve_subspaces
from isospan.errors import OptionError
from isospan.moments import Moments
from isospan.subspaces._leakage import leakage_forms


@pytest.fixture
def data():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(400, 9, generator=g, dtype=torch.float64) @ torch.randn(9, 9, generator=g, dtype=torch.float64)
    mix = torch.randn(9, 6, generator=g, dtype=torch.float64)
    noise = torch.randn(400, 6, generator=g, dtype=torch.float64)
    y = z @ mix + 2 * noise
    return z, {"a": y[:, :2], "b": y[:, 1:4] + y[:, :3], "c": y[:, 4:]}


def test_form_is_the_share_that_regressions_find(data):
    z, y = data
    L = leakage_forms(Moments.of(z, y, target_covariance=True), ridge=0.0)
    W = torch.randn(3, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    zc = z - z.mean(0)
    for q in y:
        expected = 0.0
        for i in y:
            if i != q:
                residual = y[i].numpy() - LinearRegression().fit(y[q], y[i]).predict(y[q])
                S = (z @ W.mT).numpy()
                explained = LinearRegression().fit(S, residual).predict(S)
                expected += explained.var(0).sum() / y[i].numpy().var(0).sum()
        value = torch.linalg.solve(W @ (zc.mT @ zc / len(z)) @ W.mT, W @ L[q] @ W.mT).trace()
        assert float(value) == pytest.approx(expected, rel=1e-9)


def excess(z, y, W):
    """Largest in-sample R2 of quantity i from subspace j, less that from the true j."""

    def r2(x, t):
        return LinearRegression().fit(x, t).score(x, t)

    flat = {n: t.numpy() for n, t in y.items()}
    return max(r2((z @ W[j].mT).numpy(), flat[i]) - r2(flat[j], flat[i]) for i in y for j in y if i != j)


def test_separation_lowers_the_leakage_and_keeps_the_frame_orthonormal(data):
    z, y = data
    k = {"a": 2, "b": 3, "c": 2}
    own = solve_subspaces(z, y, k=k, method="regression", orthogonal=True)
    apart = solve_subspaces(z, y, k=k, method="regression", orthogonal=True, separation=1.0)
    frame = torch.cat(list(apart.W.values()))
    np.testing.assert_allclose(frame @ frame.mT, np.eye(7), atol=1e-12)
    assert excess(z, y, apart.W) < excess(z, y, own.W) - 0.02


def test_separation_needs_an_orthogonal_regression(data):
    z, y = data
    for options in ({"method": "regression"}, {"orthogonal": True}, {"separation": -1.0}):
        with pytest.raises(OptionError, match="separation must be"):
            solve_subspaces(z, y, k=2, **{"separation": 1.0} | options)
