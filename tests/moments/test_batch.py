"""One batch taken into moments, in both precisions, against numpy in float64."""

import numpy as np
import pytest
import torch

from isospan.moments import Moments


@pytest.fixture
def data():
    """Float32 data whose offset is ten thousand times their spread: the mean of a column rounds to a tenth of it."""
    z = torch.randn(500, 6) + 1e4
    return z, {"a": (z[:, :3] - 1e4).unsqueeze(2) * torch.randn(3, 4) - 2e4, "b": torch.randn(500)}


def take(y, rows):
    return {name: t[rows] for name, t in y.items()}


def assert_equals_numpy(m, z, y, cross):
    stacked = np.concatenate([z, *(t.reshape(len(z), -1) for t in y.values())], 1).astype(np.float64)
    mean, covariance = stacked.mean(0), np.cov(stacked.T, bias=True)
    means = torch.cat([m.z_mean, *m.y_mean.values()])
    # a mean of 500 numbers of size 1, each rounded
    np.testing.assert_allclose(means, mean, rtol=1e-12, atol=1e-2 * cross)
    np.testing.assert_allclose(m.cov_zz, covariance[:6, :6], rtol=0, atol=1e-11)
    np.testing.assert_allclose(torch.cat(list(m.cov_zy.values()), 1), covariance[:6, 6:], rtol=0, atol=cross)
    np.testing.assert_allclose(torch.cat(list(m.var_y.values())), np.diag(covariance)[6:], rtol=max(cross, 1e-11))


def test_float64_products_of_float32_data(data):
    # an offset of 1e4 costs 1e-12 of a variance of 1
    assert_equals_numpy(Moments.of(*data), *data, cross=1e-11)


def test_float32_products(data):
    # rounding of 500 float32 products of size 1
    assert_equals_numpy(Moments.of(*data, precision=torch.float32), *data, cross=1e-6)


@pytest.mark.parametrize("target_covariance", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("cached", [1, 100, 6 * 500, 2**30])
def test_any_number_of_entries_at_a_time(data, cached, precision, target_covariance, monkeypatch):
    """Blocks of one sample and of all, quantities one at a time and together."""
    monkeypatch.setattr("isospan.moments._batch.CACHED", cached)
    z, y = data[0], data[1] | {"c": torch.randn(500, 3, 2).double() * 8}
    m = Moments.of(z, y, precision=precision, target_covariance=target_covariance)
    # rounding of 500 float32 products of size 8, and of the mean of what is 30 at most
    assert_equals_numpy(m, z, y, cross=1e-4 if precision == torch.float32 and not target_covariance else 1e-9)
    if target_covariance:
        stacked = np.concatenate([t.reshape(500, -1).double() for t in y.values()], 1)
        np.testing.assert_allclose(m.scatter_yy / 500, np.cov(stacked.T, bias=True), rtol=0, atol=1e-9)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [-110, -86, -41, 42, 66, 110])
def test_units_beyond_float32(data, precision, dtype, power):
    """2¹¹⁰ is 1e33, and 500 entries of 1e4 times that cannot be summed in float32."""
    z, y = data[0].to(dtype), take(data[1], slice(None)) | {"b": data[1]["b"].to(dtype)}
    unit = 2.0**power
    m, scaled = (Moments.of(z * u, {n: t * u for n, t in y.items()}, precision=precision) for u in (1.0, unit))
    scaled.update(z * unit, {n: t * unit for n, t in y.items()})
    for name in y:
        # rounding of 500 float32 products of size 1, and of the sum that is left of a mean
        torch.testing.assert_close(scaled.cov_zy[name] / unit / unit, m.cov_zy[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(scaled.var_y[name] / unit / unit, m.var_y[name], rtol=1e-6, atol=0)
        torch.testing.assert_close(scaled.y_mean[name] / unit, m.y_mean[name], rtol=1e-12, atol=1e-7)


@pytest.mark.parametrize("target_covariance", [False, True])
def test_batches_with_an_offset(data, target_covariance):
    z, y = data
    m = Moments(6, {"a": 12, "b": 1}, target_covariance=target_covariance)
    for rows in torch.arange(500).split(77):
        m.update(z[rows], take(y, rows))
    assert_equals_numpy(m, z, y, cross=1e-10)


def test_a_batch_of_one(data):
    z, y = data
    m = Moments.of(z[1:], take(y, slice(1, None))).update(z[:1], take(y, slice(0, 1)))
    assert_equals_numpy(m, z, y, cross=1e-10)


def test_half_precision_data_are_taken_as_they_are():
    z, y = torch.randn(50, 3).half(), {"a": torch.randn(50, 2).bfloat16()}
    m = Moments.of(z, y)
    expected = np.cov(np.concatenate([z.double(), y["a"].double()], 1).T, bias=True)
    np.testing.assert_allclose(m.cov_zy["a"], expected[:3, 3:], rtol=0, atol=1e-14)


def test_the_data_are_left_alone():
    z, y = torch.randn(50, 3, dtype=torch.float64), {"a": torch.randn(50, 2, dtype=torch.float64)}
    copies = z.clone(), y["a"].clone()
    Moments.of(z, y).update(z, y)
    assert torch.equal(z, copies[0])
    assert torch.equal(y["a"], copies[1])
