"""Evaluation against scikit-learn and closed forms."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from isospan.errors import (
    DegenerateDataError,
    NameMismatchError,
    NonFiniteError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.evaluation import _evaluation as evaluation
from isospan.evaluation._evaluation import evaluate, evaluate_moments
from isospan.moments import Moments
from isospan.subspaces._latent_space import LatentSpace

D = 8


@pytest.fixture
def case():
    g = torch.Generator().manual_seed(1)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    z = rand(300, D) @ rand(D, D) + 5
    mix = rand(D, 4)
    y = {
        "a": (z @ mix + 0.5 * rand(300, 4)).reshape(300, 2, 2),
        "b": z[:, :1] ** 2 + rand(300, 1),
        "c": z @ mix[:, :2] + rand(300, 2),
    }
    W = {name: torch.linalg.qr(rand(D, k)).Q.mT for name, k in {"a": 2, "b": 1, "c": 2}.items()}
    space = LatentSpace(
        W=W,
        A={n: rand(len(W[n]), y[n][0].numel()) for n in y},
        z_mean=z.mean(0),
        y_mean={n: y[n].reshape(300, -1).mean(0) for n in y},
        y_scale={n: y[n].std() for n in y},
        shapes={n: tuple(y[n].shape[1:]) for n in y},
    )
    return space, z, y


def rows(y, s):
    return {n: t[s] for n, t in y.items()}


def sklearn_r2(x_fit, y_fit, x, y):
    flat = lambda t: t.reshape(len(t), -1).numpy()  # noqa: E731
    model = LinearRegression().fit(flat(x_fit), flat(y_fit))
    return r2_score(flat(y), model.predict(flat(x)), multioutput="variance_weighted")


def test_every_number_against_scikit_learn(case):
    space, z, y = case
    fit, held_out = slice(0, 200), slice(200, 300)
    e = evaluate(space, z[held_out], rows(y, held_out), fit=(z[fit], rows(y, fit)), ridge=0.0)
    for i, name in enumerate(space.names):
        for j, other in enumerate(space.names):
            S = z @ space.W[other].mT
            assert float(e.cross_r2[i, j]) == pytest.approx(
                sklearn_r2(S[fit], y[name][fit], S[held_out], y[name][held_out]), abs=1e-9
            )
            expected = sklearn_r2(y[other][fit], y[name][fit], y[other][held_out], y[name][held_out])
            assert float(e.target_r2[i, j]) == pytest.approx(1.0 if i == j else expected, abs=1e-9)
        assert e.subspace_r2[name] == float(e.cross_r2[i, i])
        assert e.linear_probe_r2[name] == pytest.approx(
            sklearn_r2(z[fit], y[name][fit], z[held_out], y[name][held_out]), abs=1e-9
        )
        decoded = space.decode(z[held_out])[name].reshape(100, -1).numpy()
        expected = r2_score(y[name][held_out].reshape(100, -1).numpy(), decoded, multioutput="variance_weighted")
        assert e.decoder_r2[name] == pytest.approx(expected, abs=1e-9)


def test_rank_k_probe_is_reduced_rank_regression(case):
    space, z, y = case
    fit, held_out = slice(0, 200), slice(200, 300)
    e = evaluate(space, z[held_out], rows(y, held_out), fit=(z[fit], rows(y, fit)), ridge=0.0)
    target = y["a"].reshape(300, -1).numpy()
    linear = LinearRegression().fit(z[fit].numpy(), target[fit])
    pca = PCA(2).fit(linear.predict(z[fit].numpy()))
    low_rank = pca.inverse_transform(pca.transform(linear.predict(z[held_out].numpy())))
    assert e.rank_k_probe_r2["a"] == pytest.approx(
        r2_score(target[held_out], low_rank, multioutput="variance_weighted"), abs=1e-9
    )
    assert e.subspace_r2["a"] < e.rank_k_probe_r2["a"] < e.linear_probe_r2["a"]


def test_without_fit_each_half_is_scored_by_the_other(case):
    space, z, y = case
    e = evaluate(space, z, y, ridge=0.0)
    first, second = slice(0, 150), slice(150, 300)
    model = lambda s: LinearRegression().fit(z[s].numpy(), y["c"][s].numpy())  # noqa: E731
    predicted = np.concatenate([model(second).predict(z[first].numpy()), model(first).predict(z[second].numpy())])
    expected = r2_score(y["c"].numpy(), predicted, multioutput="variance_weighted")
    assert e.linear_probe_r2["c"] == pytest.approx(expected, abs=1e-9)


def test_variance_and_spectrum(case):
    space, z, y = case
    e = evaluate(space, z, y)
    zc = (z - z.mean(0)).numpy()
    W = torch.cat(list(space.W.values())).numpy()
    outside = zc - zc @ np.linalg.pinv(W) @ W
    assert e.variance_share["free"] == pytest.approx((outside**2).sum() / (zc**2).sum(), rel=1e-9)
    np.testing.assert_allclose(e.spectrum, np.linalg.svd(outside)[1][: D - 5] / math.sqrt(300), rtol=1e-6)


def test_exact_structure_scores_one_and_no_excess_leakage():
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eye = torch.eye(4, dtype=torch.float64)
    space = LatentSpace(
        W={"a": eye[:1], "b": eye[1:2]}, A={"a": eye[:1, :1], "b": eye[:1, :1]}, z_mean=torch.zeros(4).double(),
        y_mean={"a": eye[0, 1:2], "b": eye[0, 1:2]}, y_scale={"a": eye[0, 0], "b": eye[0, 0]},
        shapes={"a": (1,), "b": (1,)},
    )  # fmt: skip
    e = evaluate(space, z, {"a": z[:, 0], "b": z[:, 1]})
    assert e.subspace_r2["a"] == pytest.approx(1, abs=1e-6)
    assert e.decoder_r2["b"] == pytest.approx(1, abs=1e-12)
    assert abs(e.max_excess_leakage) < 1e-9
    assert float(e.angles["a", "b"]) == pytest.approx(90)


def test_exports(case):
    space, z, y = case
    e = evaluate(space, z, y)
    json.dumps(e.to_dict())
    frame = e.to_frame()
    assert list(frame.index) == ["a", "b", "c"]
    assert frame.loc["a", "subspace_r2"] == e.subspace_r2["a"]


def test_repr_is_a_table_of_one_line_a_quantity():
    nan, names = float("nan"), ("a", "a name\nof many letters", "c")
    scores = [
        dict(zip(names, values, strict=True)) for values in ([0.8, -1.9e14, nan], [1, 2, 3], [0, 1, 2], [0.1] * 3)
    ]
    cross = torch.tensor([[0.8, 0.3, 0.1], [0.0, nan, 0.5], [nan, nan, nan]])
    target = torch.tensor([[1, 0.1, 0.2], [0.0, 1.0, 0.5004], [0.0, 0.0, 1.0]])
    share = {"a": 0.25, "c": 0.5, "free": 0.25}
    e = evaluation.Evaluation(names, *scores, cross, target, {}, share, torch.ones(900), 300, {"a": 12, "c": 1})
    first, header, *lines = repr(e).split("\n")
    assert first == "Evaluation of 300 samples"
    assert header.split() == ["quantity", "k", *evaluation.SCORES, "variance_share", "max_excess_leakage"]
    assert [line.split() for line in lines] == [
        ["a", "12", "0.800", "1.000", "0.000", "0.100", "0.250", "0.200"],
        ["a", "name", "of", "many", "le…", "?", "-1.9e+14", "2.000", "1.000", "0.100", "nan", "0.000"],
        ["c", "1", "nan", "3.000", "2.000", "0.100", "0.500", "nan"],
    ]
    assert len({len(line) for line in (header, *lines)}) == 1
    assert len(header) <= 120


def test_bad_input(case):
    space, z, y = case
    with pytest.raises(NameMismatchError, match="missing"):
        evaluate(space, z, {"a": y["a"]})
    with pytest.raises(DegenerateDataError, match="constant"):
        evaluate(space, z, y | {"b": torch.ones(300, 1).double()})
    with pytest.raises(DegenerateDataError, match="at least 4 samples"):
        evaluate(space, z[:3], rows(y, slice(0, 3)))
    with pytest.raises(NonFiniteError):
        evaluate(space, z, y | {"b": y["b"] * float("nan")})


def test_sizes_are_those_of_the_space_also_where_probes_are_fitted(case):
    space, z, y = case
    for fit in (False, True):
        for bad, message in [
            ((z[:, :5], y), r"D = 8, got latents of shape \(300, 5\)"),
            ((z, y | {"b": z}), r"'b' must have P = 1 entries, as in the space, got shape \(300, 8\)"),
            ((z, y | {"a": y["a"][..., :1]}), r"'a' must have P = 4 entries, as in the space, got shape \(300, 2, 1\)"),
        ]:
            with pytest.raises(ShapeError, match=message):
                evaluate(space, z, y, fit=bad) if fit else evaluate(space, *bad)


def test_a_probe_that_overfits_is_no_leakage():
    """Independent quantities: held-out R2 from the wide target is well below 0, and must not count as leakage."""
    g = torch.Generator().manual_seed(0)
    z, wide = torch.randn(200, 2, generator=g).double(), torch.randn(200, 40, generator=g).double()
    eye = torch.eye(2, dtype=torch.float64)
    space = LatentSpace(
        W={"a": eye[:1], "b": eye[1:]}, A={"a": eye[:1, :1], "b": torch.ones(1, 40).double()}, z_mean=eye[0] * 0,
        y_mean={"a": eye[0, 1:], "b": wide.mean(0)}, y_scale={"a": eye[0, 0], "b": eye[0, 0]},
        shapes={"a": (1,), "b": (40,)},
    )  # fmt: skip
    e = evaluate(space, z, {"a": z[:, :1], "b": wide})
    assert float(e.target_r2[0, 1]) < -0.3
    assert float(e.excess_leakage[0, 1]) == max(0.0, float(e.cross_r2[0, 1]))
    assert e.max_excess_leakage < 0.05


@pytest.mark.parametrize("cross_fitted", [False, True])
def test_moments_of_a_stream_are_scored_as_the_data_at_once(case, cross_fitted):
    space, z, y = case

    def streamed(part):
        batches = zip(z[part].split(13), *(t[part].split(13) for t in y.values()), strict=True)
        return Moments.of_batches(((x, dict(zip(y, ys, strict=True))) for x, *ys in batches), target_covariance=True)

    first, second = slice(0, 150), slice(150, 300)
    if cross_fitted:
        expected = evaluate(space, z, y)
        folds = [(streamed(second), streamed(first)), (streamed(first), streamed(second))]
    else:
        expected = evaluate(space, z[second], rows(y, second), fit=(z[first], rows(y, first)))
        folds = [(streamed(first), streamed(second))]
    got = evaluate_moments(space, folds)
    assert got.n_samples == expected.n_samples
    for key in ("subspace_r2", "rank_k_probe_r2", "linear_probe_r2", "decoder_r2", "variance_share"):
        assert getattr(got, key) == pytest.approx(getattr(expected, key), abs=1e-12)  # sums in another order
    torch.testing.assert_close(got.cross_r2, expected.cross_r2, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.target_r2, expected.target_r2, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.spectrum, expected.spectrum, rtol=1e-9, atol=0)


def test_moments_must_be_of_the_space_with_the_covariance_of_the_targets(case):
    space, z, y = case
    plain, whole = Moments.of(z, y), Moments.of(z, y, target_covariance=True)
    with pytest.raises(OptionError, match="covariance of the targets"):
        evaluate_moments(space, [(plain, plain)])
    with pytest.raises(NameMismatchError, match="The moments"):
        evaluate_moments(space, [(whole, Moments.of(z, {"a": y["a"]}))])
    with pytest.raises(ShapeError, match="of the space, got"):
        evaluate_moments(space, [(Moments.of(z[:, :5], y), whole)])


def test_a_single_quantity_needs_no_covariance_of_targets(case):
    space, z, y = case
    keep = {what: {"a": getattr(space, what)["a"]} for what in ("W", "A", "y_mean", "y_scale", "shapes")}
    single = LatentSpace(z_mean=space.z_mean, **keep)
    moments = Moments.of(z, {"a": y["a"]})
    assert math.isnan(evaluate_moments(single, [(moments, moments)]).max_excess_leakage)


def test_leakage_of_which_nothing_is_known_is_nan(case):
    e = evaluate(*case)
    unknown = replace(e, cross_r2=torch.full_like(e.cross_r2, math.nan))
    assert math.isnan(unknown.max_excess_leakage)
    assert unknown.to_frame()["max_excess_leakage"].isna().all()
    one = e.cross_r2.clone()
    one[:, 0] = math.nan
    known = replace(e, cross_r2=one).excess_leakage
    assert replace(e, cross_r2=one).max_excess_leakage == float(known[~known.isnan()].max())


P, NOISE = 300, 0.25
TRUE_R2 = 1 / (1 + NOISE**2)


def told_by_a_long_quantity(n, columns=P):
    """Latents (n, 2), of which the second belongs to y_i, a known linear part of the long y_j plus noise."""
    g = torch.Generator().manual_seed(0)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    y_j = rand(n, columns) @ torch.eye(columns, dtype=torch.float64).repeat(1, P // columns)
    y_i = y_j[:, :1] + NOISE * rand(n, 1)
    z, eye = torch.cat([y_j[:, 1:2] + 0.3 * y_i, y_i], 1), torch.eye(2, dtype=torch.float64)
    space = LatentSpace(
        W={"i": eye[1:], "j": eye[:1]}, A={"i": eye[:1, :1], "j": torch.ones(1, P).double()}, z_mean=eye[0] * 0,
        y_mean={"i": eye[0, 1:], "j": torch.zeros(P).double()}, y_scale={"i": eye[0, 0], "j": eye[0, 0]},
        shapes={"i": (1,), "j": (P,)},
    )  # fmt: skip
    return space, z, {"i": y_i, "j": y_j}


def test_a_long_quantity_on_many_samples_tells_what_the_closed_form_says():
    n = 6000
    e = evaluate(*told_by_a_long_quantity(2 * n))
    # Gaussian least squares on P regressors: the held-out error is that of the noise times (n + 1)(n - 2)/n(n - P - 2)
    error = (1 - TRUE_R2) * (n + 1) * (n - 2) / (n * (n - P - 2))
    assert float(e.target_r2[0, 1]) == pytest.approx(1 - error, abs=0.003)  # 2n samples know a variance to 1/sqrt(n)
    assert float(e.target_r2[0, 1]) == pytest.approx(TRUE_R2, abs=0.006)
    assert e.max_excess_leakage < 0.001


@pytest.mark.parametrize("n", [640, 1199])
def test_a_long_quantity_on_few_samples_is_not_said_to_tell_too_little(n):
    with pytest.warns(NumericalWarning, match=r"too few to read from the true 'j' \(P = 300\): .* 600 are") as caught:
        e = evaluate(*told_by_a_long_quantity(n))
    assert [w.filename for w in caught] == [__file__]
    assert math.isnan(e.target_r2[0, 1])
    assert math.isnan(e.excess_leakage[0, 1])
    assert all(map(math.isfinite, [*e.subspace_r2.values(), *e.rank_k_probe_r2.values(), *e.linear_probe_r2.values()]))


def test_entries_that_repeat_others_need_no_samples():
    space, z, y = told_by_a_long_quantity(320, columns=10)
    n = 160
    expected = 1 - (1 - TRUE_R2) * (n + 1) * (n - 2) / (n * (n - 10 - 2))
    assert float(evaluate(space, z, y).target_r2[0, 1]) == pytest.approx(expected, abs=0.02)  # 0.06 / sqrt(320) x 4


def test_every_probe_is_left_out_where_its_samples_are_too_few(case):
    space, z, y = case
    held_out = slice(100, 300)
    left_out = {
        16: [],
        15: ["the whole latent of D = 8"],
        7: ["the true 'a' (P = 4) "],
        3: ["the subspaces of 'a' (k = 2), 'c' (k = 2) and"],
        2: ["the subspaces of 'a' (k = 2), 'b' (k = 1), 'c' (k = 2) and"],
    }
    for n, words in left_out.items():
        score = lambda n=n: evaluate(space, z[held_out], rows(y, held_out), fit=(z[:n], rows(y, slice(n))))  # noqa: E731
        if not words:
            e = score()
            assert all(
                map(math.isfinite, [*e.subspace_r2.values(), *e.rank_k_probe_r2.values(), *e.linear_probe_r2.values()])
            )
            continue
        with pytest.warns(NumericalWarning) as caught:
            e = score()
        assert all(word.strip() in str(caught[0].message) for word in words)
        assert all(map(math.isnan, [*e.rank_k_probe_r2.values(), *e.linear_probe_r2.values()]))
        assert [math.isnan(r2) for r2 in e.subspace_r2.values()] == [n < 4, n < 3, n < 4]
        assert [math.isnan(r2) for r2 in e.cross_r2[1].tolist()] == [n < 4, n < 3, n < 4]
        assert [math.isnan(r2) for r2 in e.target_r2[1].tolist()] == [n < 8, False, n < 4]
        assert all(map(math.isfinite, e.decoder_r2.values()))


def test_each_fold_and_source_is_asked_once_whether_it_determines_probes(case, monkeypatch):
    asked = []

    def determined(count, C, *, ridge):
        asked.append(len(C))
        return True

    monkeypatch.setattr(evaluation, "determined", determined)
    evaluate(*case)
    assert sorted(asked) == sorted(2 * [D, 2, 1, 2, 4, 1, 2])  # folds: the latent, k, P
