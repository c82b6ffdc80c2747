"""Streaming moments against float64 brute force."""

import copy

import numpy as np
import pytest
import torch

from isospan.errors import DegenerateDataError, NameMismatchError, NonFiniteError, OptionError, ShapeError
from isospan.moments import Moments


@pytest.fixture
def data():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(203, 7, generator=g, dtype=torch.float64) + 1e6
    y = {"a": torch.randn(203, 2, 3, generator=g, dtype=torch.float64), "b": z[:, :1] ** 2 * 1e-6}
    return z, y


def take(y, rows):
    return {name: t[rows] for name, t in y.items()}


def assert_matches(m, z, y):
    n = len(z)
    np_cov = np.cov(np.concatenate([z, *(t.reshape(n, -1) for t in y.values())], 1).T, bias=True)
    d = z.shape[1]
    # 1e6 offset in float64: the data themselves carry 1e-10 of rounding, relative to a variance of 1
    np.testing.assert_allclose(m.cov_zz, np_cov[:d, :d], atol=1e-8)
    np.testing.assert_allclose(torch.cat(list(m.cov_zy.values()), 1), np_cov[:d, d:], atol=1e-7)
    np.testing.assert_allclose(torch.cat(list(m.var_y.values())), np.diag(np_cov)[d:], rtol=1e-7)
    assert float(m.count) == n


def test_one_shot(data):
    assert_matches(Moments.of(*data), *data)


@pytest.mark.parametrize("sizes", [[1, 202], [203], [100, 3, 1, 99], [7] * 29])
def test_stream_equals_brute_force(data, sizes):
    z, y = data
    ends = np.cumsum(sizes)
    m = Moments.of_batches((z[e - s : e], take(y, slice(e - s, e))) for s, e in zip(sizes, ends, strict=True))
    assert_matches(m, z, y)


def test_merge_in_any_order(data):
    z, y = data
    parts = [Moments.of(z[rows], take(y, rows)) for rows in (slice(0, 5), slice(5, 120), slice(120, 203))]
    empty = Moments(7, {"a": 6, "b": 1})
    assert_matches(copy.deepcopy(parts[2]).merge(empty).merge(parts[0]).merge(parts[1]), z, y)


def test_merged_matrices_are_symmetric_to_the_last_bit(data):
    z, y = data
    halves = [Moments.of(z[r], take(y, r), target_covariance=True) for r in (slice(0, 90), slice(90, 203))]
    for m in (copy.deepcopy(halves[0]).merge(halves[1]), halves[0].update(z, y)):
        assert torch.equal(m.scatter_zz, m.scatter_zz.mT)
        assert torch.equal(m.scatter_yy, m.scatter_yy.mT)


def test_target_covariance(data):
    z, y = data
    m = Moments.of(z, y, target_covariance=True).merge(Moments(7, {"a": 6, "b": 1}, target_covariance=True))
    stacked = torch.cat([y["a"].flatten(1), y["b"]], 1).numpy()
    np.testing.assert_allclose(m.scatter_yy / m.count, np.cov(stacked.T, bias=True), rtol=1e-7, atol=1e-7)
    assert_matches(m, z, y)


def test_moments_with_and_without_target_covariance_do_not_mix(data):
    for mixed in (True, False):
        one = Moments.of(*data, target_covariance=mixed)
        before = copy.deepcopy(one.state_dict())
        with pytest.raises(OptionError, match=f"both not, got target_covariance={mixed} and {not mixed}"):
            one.merge(Moments.of(*data, target_covariance=not mixed))
        assert all(torch.equal(before[key], value) for key, value in one.state_dict().items())


def test_a_stream_can_hold_the_target_covariance(data):
    z, y = data
    batches = [(z[rows], take(y, rows)) for rows in torch.arange(203).split(50)]
    streamed = Moments.of_batches(batches, target_covariance=True).cov_yy
    for pair, block in Moments.of(z, y, target_covariance=True).cov_yy.items():
        torch.testing.assert_close(streamed[pair], block, rtol=1e-7, atol=1e-7)  # as in assert_matches


def test_decay_weights_the_past(data):
    z, y = data
    z = z - 1e6
    m = Moments.of(z[:100], take(y, slice(0, 100))).decay_(0.25).update(z[100:], take(y, slice(100, 203)))
    weights = torch.cat([torch.full((100,), 0.25), torch.ones(103)]).numpy()
    # rounding of 203 float64 sums
    np.testing.assert_allclose(m.cov_zz, np.cov(z.T, aweights=weights, ddof=0), atol=1e-12)


def test_bad_batches_change_nothing(data):
    z, y = data
    m = Moments.of(z, y)
    before = copy.deepcopy(m.state_dict())
    nan = z.clone()
    nan[3, 2] = float("nan")
    with pytest.raises(NonFiniteError, match="Latents z must be finite, got 1 NaN"):
        m.update(nan, y)
    with pytest.raises(NonFiniteError, match="quantity 'a'"):
        m.update(z, y | {"a": y["a"] / 0})
    with pytest.raises(NameMismatchError, match=r"unknown \['c'\]"):
        m.update(z, y | {"c": z})
    with pytest.raises(ShapeError, match="D = 7"):
        m.update(z[:, :3], y)
    with pytest.raises(ShapeError, match="same batch"):
        m.update(z[:5], y)
    with pytest.raises(OptionError, match="decay factor"):
        m.decay_(1.5)
    assert all(torch.equal(before[key], value) for key, value in m.state_dict().items())


def test_empty():
    with pytest.raises(DegenerateDataError, match="seen no samples"):
        _ = Moments(2, {"a": 1}).cov_zz
    with pytest.raises(DegenerateDataError, match="stream of batches is empty"):
        Moments.of_batches([])
    with pytest.raises(DegenerateDataError, match="At least 1 samples are needed, got a batch of 0"):
        Moments.of_batches([(torch.ones(0, 2), {"a": torch.ones(0, 1)}), (torch.ones(3, 2), {"a": torch.ones(3, 1)})])
    with pytest.raises(ShapeError, match=r"must have shape \(B, D\), got \(2,\)"):
        Moments.of_batches([(torch.ones(2), {"a": torch.ones(2)})])
    with pytest.raises(DegenerateDataError, match="names no quantity"):
        Moments(2, {})


def test_state_survives_casts_and_saving(data):
    m = Moments.of(*data)
    other = Moments(7, {"a": 6, "b": 1})
    other.load_state_dict(m.state_dict())
    assert_matches(other.half(), *data)
    assert_matches(copy.deepcopy(other).to("cpu", torch.bfloat16), *data)
    assert other.scatter_zz.dtype == torch.float64


@pytest.mark.parametrize("target_covariance", [False, True])
def test_scaled_equals_moments_of_scaled_data(data, target_covariance):
    z, y = data
    factor = {"a": torch.tensor(2.0), "b": torch.tensor([0.5])}
    m = Moments.of(z, y, target_covariance=target_covariance)
    before = copy.deepcopy(m.state_dict())
    expected = Moments.of(z, {"a": y["a"] * 2, "b": y["b"] * 0.5}, target_covariance=target_covariance)
    for name, buffer in m.scaled(factor).named_buffers():
        # powers of two: exact
        assert torch.equal(buffer, expected.get_buffer(name))
    assert all(torch.equal(before[key], value) for key, value in m.state_dict().items())


def test_a_state_is_taken_in_by_name(data):
    """Of two quantities of one size in another order, which the buffers do not tell apart."""
    z, y = data
    first = Moments.of(z, {"a": y["a"][:, 0], "c": y["a"][:, 1]})
    second = Moments(7, {"c": 3, "a": 3})
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(second.cov_zy[name], first.cov_zy[name]) for name in "ac")
    with pytest.raises(NameMismatchError, match="The state to load"):
        Moments(7, {"c": 3, "b": 3}).load_state_dict(first.state_dict())
    with pytest.raises(ShapeError, match=r"target_dims.*, got"):
        Moments(7, {"a": 2, "c": 4}).load_state_dict(first.state_dict())


def test_shift_and_scale_are_those_of_the_data(data):
    z, y = data
    shift, factor = (
        {"a": torch.arange(6.0).double(), "b": torch.tensor(3.0)},
        {"a": torch.tensor(2.0), "b": torch.ones(1)},
    )
    moved = {"a": (y["a"] - torch.arange(6.0).reshape(2, 3)) * 2, "b": y["b"] - 3}
    of_moments = Moments.of(z, y).scaled(factor, shift=shift)
    for name, expected in Moments.of(z, moved).named_buffers():
        torch.testing.assert_close(of_moments.get_buffer(name), expected, rtol=1e-7, atol=1e-5, msg=name)


def test_numpy_arrays(data):
    z, y = data
    of_arrays = Moments.of(z.numpy()[::-1], {name: t.numpy()[::-1] for name, t in y.items()})
    assert_matches(of_arrays, z, y)


def test_repr_is_one_line_of_the_sizes_and_the_count():
    moments = Moments(3, {"a": 2, "b": 1}, target_covariance=True)
    assert repr(moments) == "Moments(latent_dim=3, target_dims={'a': 2, 'b': 1}, count=0)"
    z = torch.ones(1000, 3)
    moments.update(z, {"a": z[:, :2], "b": z[:, 0]}).decay_(0.5)
    assert repr(moments) == "Moments(latent_dim=3, target_dims={'a': 2, 'b': 1}, count=500)"


def test_a_small_batch_far_from_zero_costs_no_digits():
    """Deviations of 1e-6 about 1e8, which float64 holds to 1e-8."""
    y = torch.randn(500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e-6 + 1e8
    moments = Moments(2, {"a": 1}).update(torch.randn(500, 2), {"a": y})
    deviation = y - 1e8  # exact
    expected = (deviation - deviation.mean()).square().sum()
    assert float(moments.scatter_yy) == pytest.approx(float(expected), rel=1e-10)
