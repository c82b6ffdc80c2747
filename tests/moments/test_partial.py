"""Moments of partly labelled and of weighted samples, against those of the labelled subset and of repeated samples."""

import copy
import logging

import pytest
import torch

from isospan.errors import DtypeError, FileFormatError, NonFiniteError, OptionError, ShapeError
from isospan.moments import Moments

NAMES = ("a", "b", "c")
TOLERANCE = 1e-10


@pytest.fixture
def data():
    """Latents with an offset, and three quantities that 30 %, 50 % and 67 % of the samples have; c has labels."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(300, 5, generator=g, dtype=torch.float64) + 100
    y = {
        "a": torch.randn(300, 2, 2, generator=g, dtype=torch.float64) + z[:, :1, None],
        "b": z[:, :1] * 2 + torch.randn(300, 1, generator=g, dtype=torch.float64),
        "c": torch.randint(0, 3, (300,), generator=g),
    }
    y["a"][torch.rand(300, generator=g) < 0.7, 0, 1] = torch.nan  # in one entry
    y["b"][torch.rand(300, generator=g) < 0.5] = torch.nan
    y["c"][::3] = -1
    return z, y


def take(y, rows):
    return {name: t[rows] for name, t in y.items()}


def has(y, name):
    return y[name] >= 0 if name == "c" else ~y[name].flatten(1).isnan().any(1)


def assert_equal(got, expected):
    """To 1e-10 of the largest entry."""
    torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


def assert_same_buffers(m, other):
    for (name, buffer), expected in zip(m.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()), msg=name)


@pytest.mark.parametrize("target_covariance", [False, True])
def test_every_quantity_has_the_moments_of_its_labelled_subset(data, target_covariance):
    z, y = data
    m = Moments.of(z, y, missing="skip", target_covariance=target_covariance)
    whole = Moments.of(z, {"z": z})
    assert_equal(m.cov_zz, whole.cov_zz)
    assert_equal(m.z_mean, whole.z_mean)
    for i, name in enumerate(NAMES):
        rows = has(y, name)
        alone, own = Moments.of(z[rows], take({name: y[name]}, rows), target_covariance=True), m.labelled(name)
        for kind in ("count", "z_mean", "cov_zz", "target_mean"):
            assert_equal(getattr(own, kind), getattr(alone, kind))
        for moments in (own, m):
            for kind in ("cov_zy", "var_y", "y_mean"):
                assert_equal(getattr(moments, kind)[name], getattr(alone, kind)[name])
        assert float(m.label_count[i]) == int(rows.sum())
        if target_covariance:
            assert_equal(m.cov_yy[name, name], alone.cov_yy[name, name])


def test_a_covariance_of_two_quantities_is_of_the_samples_that_have_both(data):
    z, y = data
    m = Moments.of(z, y, missing="skip", target_covariance=True)
    for i in NAMES:
        for j in NAMES:
            if i != j:
                rows = has(y, i) & has(y, j)
                alone = Moments.of(z[rows], take({j: y[j], i: y[i]}, rows), target_covariance=True)
                assert_equal(m.cov_yy[i, j], alone.cov_yy[i, j])
                both, expected = m.overlap(i, j), alone.overlap(i, j)
                x = torch.cat([alone.split(alone.target_mean)[name] for name in (i, j)])
                assert_equal(both.z_mean, x)
                for kind in ("count", "cov_zz", "target_mean", "target_variance"):
                    assert_equal(getattr(both, kind), getattr(expected, kind))
                assert_equal(both.cov_zy["latents"], torch.cat([alone.cov_zy[i], alone.cov_zy[j]], 1).mT)


def test_a_stream_and_merged_parts_are_one_set(data):
    z, y = data
    whole = Moments.of(z, y, missing="skip", target_covariance=True)
    options = {"missing": "skip", "target_covariance": True}
    dims = {"a": 4, "b": 1, "c": 3}
    stream, parts = Moments(5, dims, **options), [Moments(5, dims, **options) for _ in range(3)]
    for n, rows in enumerate(torch.arange(300).split(37)):
        stream.update(z[rows], take(y, rows))
        parts[n % 3].update(z[rows], take(y, rows))
    assert_same_buffers(stream, whole)
    empty = Moments(5, dims, **options)
    assert_same_buffers(empty.merge(parts[2]).merge(parts[0]).merge(parts[1]), whole)
    assert torch.equal(whole.scatter_zz, whole.scatter_zz.mT)
    loaded = Moments(5, dims, **options)
    loaded.load_state_dict(stream.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(loaded.buffers(), stream.buffers(), strict=True))


def test_a_batch_without_a_label_changes_no_moments_of_the_quantity(data):
    z, y = data
    m = Moments.of(z, y, missing="skip")
    before = copy.deepcopy(m.labelled("b"))
    m.update(z[:40], take(y, slice(40)) | {"b": torch.full((40, 1), torch.nan)})
    assert all(torch.equal(a, b) for a, b in zip(before.buffers(), m.labelled("b").buffers(), strict=True))
    assert float(m.count) == 340


@pytest.mark.parametrize("missing", ["raise", "skip"])
@pytest.mark.parametrize("n", [300, 40_000])
def test_integer_weights_repeat_samples(data, missing, n):
    z, y = data
    if missing == "raise":
        y = {"a": y["a"].nan_to_num(), "c": y["c"].abs()}
    copies = -(-n // 300)
    z, y = z.repeat(copies, 1), {name: t.repeat(copies, *[1] * (t.dim() - 1)) for name, t in y.items()}
    z += torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.arange(len(z)) % 4
    rows = torch.arange(len(z)).repeat_interleave(weights)
    options = {"missing": missing, "target_covariance": True}
    assert_same_buffers(Moments.of(z, y, weights=weights, **options), Moments.of(z[rows], take(y, rows), **options))


def test_what_has_no_weight_is_not_looked_at(data):
    z, y = data[0], {"c": data[1]["c"].abs()}
    weights = torch.ones(300)
    weights[:10] = 0
    bad = z.clone()
    bad[:10] = torch.nan
    assert_same_buffers(Moments.of(bad, y, weights=weights), Moments.of(z[10:], take(y, slice(10, None))))
    with pytest.raises(NonFiniteError, match="Latents z must be finite"):
        Moments.of(bad, y, weights=torch.ones(300))


def test_scaled_moments_are_those_of_scaled_quantities(data):
    z, y = data
    y = {name: y[name] for name in ("a", "b")}
    options = {"missing": "skip", "target_covariance": True}
    scaled = Moments.of(z, y, **options).scaled(
        {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, shift={"a": torch.tensor(1.0), "b": torch.tensor(-4.0)}
    )
    assert_same_buffers(scaled, Moments.of(z, {"a": 2 * (y["a"] - 1), "b": 3 * (y["b"] + 4)}, **options))


def test_labels_are_the_indicators_of_their_classes(data, caplog):
    z, _ = data
    label = torch.arange(300) % 4
    with caplog.at_level(logging.INFO, logger="isospan"):
        m = Moments.of(z, {"label": label, "flag": label > 1})
    assert len(caplog.records) == 1
    assert "{'label': 4, 'flag': 2}" in caplog.text
    hot = {"label": torch.eye(4)[label], "flag": torch.stack([label <= 1, label > 1], 1).double()}
    assert_same_buffers(m, Moments.of(z, hot))
    assert_same_buffers(
        Moments.of_batches([(z, {"label": label})], classes={"label": 4}),
        Moments.of(z, hot | {"flag": hot["label"]}).labelled("label"),
    )


@pytest.mark.parametrize("label", [[1990, 1991] * 20, [0, 2] * 20, list(range(40)), [0] * 40, [-1] * 40])
def test_integers_that_may_be_numbers_are_refused_with_the_choices(label):
    z = torch.randn(40, 3)
    with pytest.raises(DtypeError, match=r"y\.float\(\); .* classes=\{'label': C\}; .*return_inverse"):
        Moments.of(z, {"label": torch.tensor(label)})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": {"a": torch.full((40, 1), torch.inf)}, "missing": "skip"}, NonFiniteError, "must be finite or NaN"),
        ({"y": {"a": torch.full((40, 1), torch.nan)}}, NonFiniteError, "must be finite"),
        ({"y": {"a": torch.zeros(40, 1).long()}}, DtypeError, r"one integer a sample, shape \(B,\)"),
        ({"y": {"a": torch.arange(40) % 5}, "classes": {"a": 4}}, OptionError, "must be 0 to 3, for 4 classes, got 0"),
        ({"y": {"a": torch.arange(40) % 5 - 1}, "classes": {"a": 4}}, OptionError, 'missing with missing="skip"'),
        ({"missing": "drop"}, OptionError, "Choose one of 'raise', 'skip'"),
        ({"weights": torch.ones(39)}, ShapeError, r"shape \(40,\), got \(39,\)"),
        ({"weights": -torch.ones(40)}, OptionError, "at least 0, got -1"),
        ({"weights": torch.full((40,), torch.nan)}, NonFiniteError, "weights must be finite"),
    ],
)
def test_what_is_refused(options, error, message):
    y = options.pop("y", {"a": torch.zeros(40, 1)})
    with pytest.raises(error, match=message):
        Moments.of(torch.randn(40, 3), y, **options)


def test_moments_that_skip_and_those_that_do_not_are_not_mixed(data):
    z, _ = data
    skip, whole = (Moments.of(z, {"a": z}, missing=missing) for missing in ("skip", "raise"))
    with pytest.raises(OptionError, match="must both skip what is missing or both not"):
        skip.merge(whole)
    with pytest.raises(FileFormatError, match="missing"):
        skip.load_state_dict(whole.state_dict())
