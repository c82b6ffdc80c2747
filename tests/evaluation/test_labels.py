"""Scores of class labels, of partly labelled data and of weighted samples."""

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from isospan.errors import DegenerateDataError, NumericalWarning, OptionError
from isospan.evaluation import evaluate
from isospan.subspaces import solve_subspaces

N, D, C = 400, 5, 3
SCORES = ("subspace_r2", "rank_k_probe_r2", "linear_probe_r2", "decoder_r2")
K = {"a": 1, "b": 1, "label": 2}


@pytest.fixture(scope="module")
def data():
    """The first half to solve from, the second to score; of b and the labels 60 % are there."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(N, D, generator=g, dtype=torch.float64)
    y = {
        "a": z[:, :1] + 0.5 * torch.randn(N, 1, generator=g, dtype=torch.float64),
        "b": z[:, :2] @ torch.randn(2, 2, generator=g, dtype=torch.float64) + z[:, 2:3] ** 2,
        "label": (z[:, :C] + torch.tensor([1.0, 0.0, 0.0])).argmax(1),
    }
    y["b"][torch.rand(N, generator=g) < 0.4, 0] = torch.nan
    y["label"][torch.rand(N, generator=g) < 0.4] = -1
    return z, y


def halves(z, y):
    return [(z[rows], {name: t[rows] for name, t in y.items()}) for rows in (slice(N // 2), slice(N // 2, None))]


def has(y, name):
    return y[name] >= 0 if name == "label" else ~y[name].isnan().any(1)


def subset(z, y, names):
    rows = torch.stack([has(y, name) for name in names]).all(0)
    return z[rows], {name: y[name][rows] for name in names}


@pytest.fixture(scope="module")
def evaluation(data):
    fit, score = halves(*data)
    space = solve_subspaces(*fit, K, missing="skip")
    return space, evaluate(space, *score, fit=fit, missing="skip")


@pytest.mark.parametrize("name", list(K))
def test_scores_of_a_quantity_are_those_of_its_labelled_subset(data, evaluation, name):
    _space, found = evaluation
    fit, score = (subset(*half, [name]) for half in halves(*data))
    classes = {"label": C} if name == "label" else None
    alone = evaluate(solve_subspaces(*fit, K[name], classes=classes), *score, fit=fit)
    for key in SCORES:
        assert getattr(found, key)[name] == pytest.approx(getattr(alone, key)[name], abs=1e-9), key


@pytest.mark.parametrize(("i", "j"), [("a", "b"), ("b", "label"), ("label", "a")])
def test_what_a_quantity_says_of_another_is_of_the_samples_that_have_both(data, evaluation, i, j):
    (_fit_z, fit_y), (_z, y) = (subset(*half, [i, j]) for half in halves(*data))
    hot = lambda t: torch.eye(C).double()[t] if t.dim() == 1 else t  # noqa: E731
    x, t = torch.nn.functional.pad(hot(fit_y[j]), (0, 1), value=1.0), hot(fit_y[i])
    B = torch.linalg.lstsq(x, t, driver="gelsd").solution
    error = hot(y[i]) - torch.nn.functional.pad(hot(y[j]), (0, 1), value=1.0) @ B
    expected = 1 - error.square().sum() / (hot(y[i]) - hot(y[i]).mean(0)).square().sum()
    _, found = evaluation
    row, column = found.names.index(i), found.names.index(j)
    assert float(found.target_r2[row, column]) == pytest.approx(float(expected), abs=1e-5)  # with a ridge of 1e-6


def test_accuracies_are_those_of_the_stored_decoder(data, evaluation):
    space, found = evaluation
    z, y = subset(*halves(*data)[1], ["label"])
    guess = space.decode(z)["label"].argmax(1)
    assert found.accuracy == {"label": pytest.approx(accuracy_score(y["label"], guess))}
    assert found.balanced_accuracy == {"label": pytest.approx(balanced_accuracy_score(y["label"], guess))}
    assert found.accuracy["label"] != found.balanced_accuracy["label"]
    assert "in 0." in repr(found).splitlines()[-1]
    assert found.to_dict()["balanced_accuracy"] == found.balanced_accuracy


def test_integer_weights_repeat_samples(data):
    z, y = data[0], {"a": data[1]["a"], "label": data[1]["label"].clamp(min=0)}
    fit, (z, y) = halves(z, y)
    space = solve_subspaces(*fit, {"a": 1, "label": 2})
    weights = torch.arange(N // 2) % 3
    rows = torch.arange(N // 2).repeat_interleave(weights)
    weighted = evaluate(space, z, y, fit=fit, weights=weights)
    repeated = evaluate(space, z[rows], {name: t[rows] for name, t in y.items()}, fit=fit)
    for key in (*SCORES, "accuracy", "balanced_accuracy"):
        assert getattr(weighted, key) == pytest.approx(getattr(repeated, key), abs=1e-10)
    assert weighted.n_samples == int(weights.sum())


def test_two_quantities_without_a_common_sample_say_nothing_of_each_other(data):
    z, y = data[0], {"a": data[1]["a"].clone(), "b": data[1]["b"].nan_to_num()}
    y["a"][::2] = torch.nan
    y["b"][1::2] = torch.nan
    space = solve_subspaces(z, y, 1, missing="skip")
    with pytest.warns(NumericalWarning, match="too few"):
        found = evaluate(space, z, y, missing="skip")
    assert found.target_r2.isnan().tolist() == [[False, True], [True, False]]
    assert not any(value != value for value in found.subspace_r2.values())


def test_what_is_refused(data):
    z, y = data
    space = solve_subspaces(z, y, K, missing="skip")
    with pytest.raises(DegenerateDataError, match="No sample that is scored has the quantity 'b'"):
        evaluate(space, z, y | {"b": torch.full_like(y["b"], torch.nan)}, missing="skip")
    with pytest.raises(OptionError, match="missing="):
        evaluate(space, z, y | {"b": y["b"].nan_to_num()})
