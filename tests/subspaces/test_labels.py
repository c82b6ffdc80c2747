"""Subspaces of class labels, of partly labelled data and of weighted samples."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from isospan.errors import DegenerateDataError, DtypeError, NonFiniteError, NumericalWarning, OptionError, ShapeError
from isospan.linalg import principal_angles
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, eraser, solve_from_moments, solve_subspaces
from isospan.subspaces._leakage import leakage_forms

D, N, C = 6, 600, 3
K = {"a": 2, "b": 1, "label": 2}


@pytest.fixture(scope="module")
def data():
    """Correlated latents with an offset; 30 %, 50 % and 67 % of the samples have a, b and a label."""
    g = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    z = normal(N, D) @ normal(D, D) + 3
    y = {"a": (z[:, :3] @ normal(3, 4) + normal(N, 4)).unflatten(1, (2, 2)), "b": 2 * z[:, 1] + normal(N)}
    y["label"] = (z[:, :C] + 0.3 * normal(N, C)).argmax(1)
    y["a"][torch.rand(N, generator=g) < 0.7, 1, 0] = torch.nan
    y["b"][torch.rand(N, generator=g) < 0.5] = torch.nan
    y["label"][::3] = -1
    return z, y


def has(y, name):
    return y[name] >= 0 if name == "label" else ~y[name].reshape(N, -1).isnan().any(1)


def complete(y):
    return {"a": y["a"].nan_to_num(), "b": y["b"].nan_to_num(), "label": y["label"].clamp(min=0)}


@pytest.mark.parametrize("method", ["regression", "covariance", "correlation"])
def test_a_quantity_is_read_as_from_its_labelled_subset(data, method):
    z, y = data
    space = solve_subspaces(z, y, K, missing="skip", method=method)
    assert dict(space.shapes) == {"a": (2, 2), "b": (), "label": (C,)}
    for name, k in K.items():
        rows = has(y, name)
        classes = {"label": C} if name == "label" else None
        alone = solve_subspaces(z[rows], {name: y[name][rows]}, k, method=method, classes=classes)
        torch.testing.assert_close(space.W[name], alone.W[name], rtol=0, atol=1e-10)
        torch.testing.assert_close(space.decode(z)[name], alone.decode(z)[name], rtol=0, atol=1e-9)
    torch.testing.assert_close(space.cov_zz, z.T.cov(correction=0), rtol=1e-10, atol=1e-10)


def test_a_regression_without_noise_is_exact_from_the_samples_that_have_the_quantity(data):
    """The covariance of all latents with the cross-covariance of some would miss by 0.1 here."""
    z, _ = data
    y = (z @ torch.arange(1.0, D + 1).double()).unsqueeze(1)
    y[20:] = torch.nan
    space = solve_subspaces(z, {"sum": y}, 1, missing="skip", ridge=0.0)
    assert float(principal_angles(space.W["sum"], torch.arange(1.0, D + 1).double()[None])) < 1e-6


@pytest.mark.parametrize("method", ["regression", "covariance"])
def test_an_orthogonal_partition_is_the_usual_one_where_nothing_is_missing(data, method):
    z, y = data[0], complete(data[1])
    spaces = [solve_subspaces(z, y, K, orthogonal=True, method=method, missing=m) for m in ("raise", "skip")]
    for name in K:
        # 1e-8: the ascent ends at a gradient that is small, not zero
        torch.testing.assert_close(spaces[0].W[name], spaces[1].W[name], rtol=0, atol=1e-8)


def test_an_orthogonal_partition_of_partly_labelled_data(data):
    z, y = data
    space = solve_subspaces(z, y, K, orthogonal=True, missing="skip")
    rows = torch.cat(list(space.W.values()))
    torch.testing.assert_close(rows @ rows.mT, torch.eye(5, dtype=torch.float64))
    free = solve_subspaces(z, y, K, missing="skip")
    for name in K:
        own = has(y, name)
        truth = torch.eye(C).double()[y["label"][own]] if name == "label" else y[name][own]
        errors = [float((s.decode(z[own])[name] - truth).var() / truth.var()) for s in (space, free)]
        assert errors[1] - 1e-3 < errors[0] < 0.9


def test_leakage_is_of_the_samples_that_have_both(data):
    z, y = data
    y = {"a": y["a"], "b": y["b"]}
    rows = has(y, "a") & has(y, "b")
    skip = Moments.of(z, y, missing="skip", target_covariance=True)
    both = Moments.of(z[rows], {name: t[rows] for name, t in y.items()}, target_covariance=True)
    for name, L in leakage_forms(both, ridge=1e-3).items():
        torch.testing.assert_close(leakage_forms(skip, ridge=1e-3)[name], L, rtol=1e-9, atol=1e-9)


def test_quantities_without_a_common_sample_are_solved(data):
    z, y = data[0], complete(data[1])
    y["a"][: N // 2] = torch.nan
    y["b"][N // 2 :] = torch.nan
    space = solve_subspaces(z, {"a": y["a"], "b": y["b"]}, {"a": 2, "b": 1}, orthogonal=True, missing="skip")
    assert all(W.isfinite().all() for W in space.W.values())


def test_integer_weights_repeat_samples(data):
    z, y = data[0], complete(data[1])
    weights = torch.arange(N) % 3
    rows = torch.arange(N).repeat_interleave(weights)
    weighted = solve_subspaces(z, y, K, weights=weights)
    repeated = solve_subspaces(z[rows], {name: t[rows] for name, t in y.items()}, K)
    for name in K:
        torch.testing.assert_close(weighted.W[name], repeated.W[name], rtol=0, atol=1e-10)
        torch.testing.assert_close(weighted.A[name], repeated.A[name], rtol=0, atol=1e-9)


def test_the_subspace_of_labels_is_that_of_linear_discriminants(data):
    """Regression on the indicators spans the discriminants (Hastie, Tibshirani and Buja 1994)."""
    z, y = (t[data[1]["label"] >= 0] for t in (data[0], data[1]["label"]))
    space = solve_subspaces(z, {"label": y}, C - 1, ridge=0.0)
    lda = LinearDiscriminantAnalysis(solver="eigen").fit(z.numpy(), y.numpy())
    directions = torch.linalg.qr(torch.from_numpy(np.ascontiguousarray(lda.scalings_[:, : C - 1])))[0].mT
    assert float(principal_angles(space.W["label"], directions).max()) < 1e-6
    scores = space.decode(z)["label"]
    torch.testing.assert_close(scores.sum(1), torch.ones(len(z), dtype=torch.float64))
    assert float((scores.argmax(1) == y).double().mean()) > 0.8


def test_more_dimensions_than_the_rank_of_the_indicators_are_reduced(data):
    z, y = data[0], {"label": data[1]["label"].clamp(min=0)}
    with pytest.warns(NumericalWarning, match=r"one less than the classes of labels.*\{'label': \(3, 2\)\}"):
        assert len(solve_subspaces(z, y, C).W["label"]) == C - 1
    with warnings.catch_warnings(action="error"):
        assert len(solve_subspaces(z, y).W["label"]) == C - 1
    with pytest.warns(NumericalWarning, match="one less"):
        solve_from_moments(Moments.of(z, y), C, classes={"label": C})


@pytest.mark.filterwarnings("ignore:.* steps are longer than:isospan.errors.NumericalWarning")
def test_an_edit_sets_a_class(data, tmp_path):
    z, y = data[0], complete(data[1])
    solve_subspaces(z, y, K).save(tmp_path / "space.safetensors")
    space = LatentSpace.load(tmp_path / "space.safetensors")
    assert space.to(dtype=torch.float32).classes == {"label": C}
    for target in (1, np.int64(1), torch.tensor(1), torch.ones(N).long(), torch.tensor([0.0, 1.0, 0.0])):
        edited = space.edit(z, {"label": target}, keep=())
        assert bool((space.decode(edited)["label"].argmax(1) == 1).all())
    scores = lambda x: {"label": space.decode(x)["label"]}  # noqa: E731
    decoded = space.edit(z[:5], {"label": 1}, keep=(), decoder=lambda z: z, quantities=scores)
    torch.testing.assert_close(scores(decoded)["label"], scores(edited)["label"][:5], rtol=0, atol=1e-2)
    classes = torch.arange(N) % C
    edited = space.edit(z, {"label": classes}, keep=())
    assert torch.equal(space.decode(edited)["label"].argmax(1), classes)
    with pytest.raises(OptionError, match="must be 0 to 2, for 3 classes, got 3"):
        space.edit(z, {"label": 3})
    with pytest.raises(DtypeError, match="must be floating point"):
        space.edit(z, {"a": torch.ones(2, 2).long()})
    flags = solve_subspaces(z, {"flag": z[:, 0] > 3}, 1)
    assert bool(flags.decode(flags.edit(z, {"flag": True}))["flag"].argmax(1).all())


def test_no_linear_probe_reads_a_class_that_is_erased(data):
    z, y = (t[data[1]["label"] >= 0] for t in (data[0], data[1]["label"]))
    erased = eraser(Moments.of(z, {"label": y}), "label")(z)
    before, after = (LogisticRegression(C=np.inf, max_iter=1000).fit(x.numpy(), y.numpy()) for x in (z, erased))
    majority = float(y.bincount().max()) / len(y)
    assert before.score(z.numpy(), y.numpy()) > 0.9
    assert after.score(erased.numpy(), y.numpy()) == pytest.approx(majority)
    assert balanced_accuracy_score(y.numpy(), after.predict(erased.numpy())) == pytest.approx(1 / C)


def test_what_is_erased_is_gone_from_the_samples_that_have_it(data):
    z, y = data
    erase = eraser(Moments.of(z, y, missing="skip"), ["label", "b"])
    for name in ("label", "b"):
        rows = has(y, name)
        truth = {name: y[name][rows]}
        left = Moments.of(erase(z[rows]), truth, classes={"label": C} if name == "label" else None)
        assert float(left.cov_zy[name].abs().max()) < 1e-10


def test_what_is_refused(data):
    z, y = data
    with pytest.raises(DegenerateDataError, match=r"got constant or no values .* of 600 samples: \{'b': 0\.0\}"):
        solve_subspaces(z, y | {"b": torch.full((N,), torch.nan)}, K, missing="skip")
    with pytest.raises(ShapeError, match=r"must have the shape \(C,\)"):
        solve_from_moments(Moments.of(z, {"b": z[:, :1]}), 1, classes={"b": 2})


@pytest.mark.parametrize("weighted", [False, True])
def test_error_bars_are_of_the_samples_that_have_the_quantity(data, weighted):
    """In the space of a solve, and calibrated: as in a space of these samples alone."""
    z, y = data
    weights = (torch.arange(N) % 3).double() if weighted else None
    space = solve_subspaces(z, y, K, missing="skip", weights=weights)
    held_out = z + 0.1
    calibrated = space.calibrate(held_out, y, missing="skip")
    for name in y:
        rows = has(y, name)
        own = torch.ones(int(rows.sum())).double() if weights is None else weights[rows]
        true = torch.eye(C).double()[y[name][rows]] if name == "label" else y[name][rows]
        residuals = (true - space.decode(z[rows])[name]).reshape(len(own), -1).double()
        expected = (own @ residuals.square() / own.sum()).sqrt()
        torch.testing.assert_close(space.residual_std[name].double(), expected, rtol=1e-6, atol=1e-7)
        assert space.n_samples[name] == float(own.sum())
        residuals = (true - space.decode(held_out[rows])[name]).reshape(len(own), -1).abs()
        assert calibrated.scores[name].shape == residuals.shape
    with pytest.raises(DegenerateDataError, match="No sample has the quantity 'b'"):
        space.calibrate(z, y | {"b": torch.full_like(y["b"], torch.nan)}, missing="skip")
    with pytest.raises(NonFiniteError, match="Targets of quantity 'a' must be finite"):
        space.calibrate(z, y | {"label": y["label"].clamp(min=0)})
