"""Latents of any model get the scores of their data at once, from memory and from every kind of file."""

import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from isospan.errors import DegenerateDataError, DimensionError, NameMismatchError, NumericalWarning, ShapeError
from isospan.evaluation import evaluate
from isospan.experiment import AuditConfig, audit
from isospan.experiment.samples import Samples, hold_out
from isospan.quantities import pool
from isospan.subspaces import LatentSpace

xarray = pytest.importorskip("xarray")

N, D = 400, 10
TAIL = AuditConfig(test_fraction=0.25, test_blocks=1)


@pytest.fixture(scope="module")
def data():
    """Latents with an offset; a number, a vector and a field that are partly linear in them."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) + 3
    noise = rng.standard_normal((N, 12))
    modes = np.kron(rng.standard_normal((2, 4, 4)), np.ones((4, 4)))
    return z, {
        "energy": 100 + z[:, 0] ** 2 + noise[:, 0],
        "force": z @ rng.standard_normal((D, 12)) + noise,
        "flow": np.einsum("nk,khw->nhw", z[:, :2], modes) + rng.standard_normal((N, 16, 16)),
    }


def numbers(result):
    e = result.evaluation
    return {
        name: [e.subspace_r2[name], e.rank_k_probe_r2[name], e.linear_probe_r2[name], e.decoder_r2[name]]
        for name in e.names
    }


def test_probes_are_those_of_scikit_learn_on_the_rows_held_out(data):
    z, y = data
    result = audit(z, y, TAIL)
    n = result.sizes.n["flow"]
    flow = pool(torch.from_numpy(y["flow"])[:, None], n).flatten(1).numpy()
    for name, target in {"energy": y["energy"][:, None], "force": y["force"], "flow": flow}.items():
        model = LinearRegression().fit(z[:300], target[:300])
        expected = r2_score(target[300:], model.predict(z[300:]), multioutput="variance_weighted")
        # a ridge of 1e-6 of the mean variance
        assert result.evaluation.linear_probe_r2[name] == pytest.approx(expected, abs=1e-4)
        S = z @ result.space.W[name].numpy().T
        own = LinearRegression().fit(S[:300], target[:300])
        expected = r2_score(target[300:], own.predict(S[300:]), multioutput="variance_weighted")
        assert result.evaluation.subspace_r2[name] == pytest.approx(expected, abs=1e-4)
    assert result.evaluation.n_samples == 100
    assert result.report is None


def test_vectors_are_not_pooled_since_their_entries_may_have_no_order(data):
    z, y = data
    dims = audit(z, y).sizes.dims
    assert dims["force"][0] is None
    assert dims["flow"][0] is not None
    wide = np.random.default_rng(1).standard_normal((N, 3)) @ np.random.default_rng(2).standard_normal((3, 600))
    assert audit(z, {"wide": wide}).sizes.dims["wide"][0] is not None


@pytest.mark.parametrize("k", [3, {"force": 3}])
def test_directions_are_solved_at_most_d_or_given(data, k):
    z, y = data
    k_solved = audit(z[:, :2], y).sizes.k
    assert max(k_solved.values()) == 2
    sizes = audit(z, {"force": y["force"], "energy": y["energy"]}, AuditConfig(k={"force": 3, "energy": 1})).sizes
    assert sizes.k == {"force": 3, "energy": 1}
    assert audit(z, {"force": y["force"]}, AuditConfig(k=k)).sizes.k == {"force": 3}
    for wrong, error in ((0, DimensionError), ({"nobody": 2}, NameMismatchError)):
        with pytest.raises(error):
            audit(z, y, AuditConfig(k=wrong))


def test_orthogonal_subspaces_are_a_partition(data):
    z, y = data
    space = audit(z, {"force": y["force"], "energy": y["energy"]}, AuditConfig(orthogonal=True, k=1)).space
    assert abs(float(space.W["force"] @ space.W["energy"].mT)) < 1e-10  # float64 frames


def write(kind, path, z, y):
    dims = {"energy": ["row"], "force": ["row", "j"], "flow": ["row", "y", "x"]}
    dataset = xarray.Dataset({"z": (["row", "d"], z), **{name: (dims[name], y[name]) for name in y}})
    {".npz": lambda: np.savez(path, z=z, **y), ".nc": lambda: dataset.to_netcdf(path)}.get(
        kind, lambda: dataset.to_zarr(path, consolidated=False)
    )()


@pytest.mark.parametrize("kind", [".npz", ".nc", ".zarr"])
def test_a_file_of_any_kind_gives_what_its_arrays_give(data, tmp_path, kind):
    z, y = data
    path = tmp_path / f"all{kind}"
    write(kind, path, z, y)
    result = audit(path, path, AuditConfig(variable="z"))
    names = sorted(y) if kind == ".zarr" else list(y)  # a directory has no order
    assert list(result.sizes.k) == names  # the latents are no quantity of themselves
    expected = numbers(audit(torch.from_numpy(z), {name: torch.from_numpy(t) for name, t in y.items()}))
    assert numbers(result) == {name: pytest.approx(values, abs=1e-12) for name, values in expected.items()}


def test_one_file_a_quantity_and_names_of_ones_own(data, tmp_path):
    z, y = data
    for name, values in {"z": z, **y}.items():
        np.save(tmp_path / f"{name}.npy", values)
    files = [tmp_path / "energy.npy", tmp_path / "force.npy", tmp_path / "flow.npy"]
    result = audit(tmp_path / "z.npy", files, AuditConfig(quantities={"push": "force"}))
    assert list(result.sizes.k) == ["push"]
    assert numbers(result)["push"] == pytest.approx(numbers(audit(z, {"force": y["force"]}))["force"], abs=1e-12)


def test_the_batch_does_not_matter(data, monkeypatch):
    z, y = data
    expected = numbers(audit(z, y))
    monkeypatch.setattr("isospan.experiment._audit.BATCH", 7)
    assert numbers(audit(z, y)) == {name: pytest.approx(values, abs=1e-10) for name, values in expected.items()}


@pytest.mark.usefixtures("figures")
def test_it_writes_the_report_of_a_run_without_what_only_training_has(data, tmp_path):
    z, y = data
    result = audit(z, y, AuditConfig(out=tmp_path, title="Somebody's <latents>"))
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "metrics.json", "space.safetensors", "figures"}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["guided"]["subspace_r2"] == pytest.approx(result.evaluation.subspace_r2)
    assert metrics["nmse"] == {}
    assert metrics["history"] is None
    html = result.report.read_text()
    assert "Somebody&#39;s &lt;latents&gt;" in html
    assert 'id="training"' not in html
    assert "Reconstruction error" not in html
    space = LatentSpace.load(tmp_path / "space.safetensors")
    train, test = (part.fields for part in hold_out(Samples(torch.from_numpy(z)), 0.2, blocks=5))
    only = {name: torch.from_numpy(y[name]) for name in ("energy",)}
    halves = [hold_out(Samples(only["energy"]), 0.2, blocks=5)[i].fields for i in (0, 1)]
    single = audit(z, {"energy": y["energy"]})
    e = evaluate(single.space, test, {"energy": halves[1]}, fit=(train, {"energy": halves[0]}))
    assert single.evaluation.subspace_r2["energy"] == pytest.approx(e.subspace_r2["energy"], abs=1e-12)
    assert space.names == list(y)


def test_too_few_rows_for_a_probe_are_said_and_leave_it_out(data):
    z, y = data
    with pytest.warns(
        NumericalWarning, match="on 16 samples, .* the whole latent of D = 10: .* 20 are enough for all, 1.25 times"
    ):
        result = audit(z[:20], {"energy": y["energy"][:20]})
    assert np.isnan(result.evaluation.linear_probe_r2["energy"])
    assert np.isfinite(result.evaluation.subspace_r2["energy"])


@pytest.mark.parametrize(
    ("z", "y", "settings", "error", "message"),
    [
        (
            np.zeros((9, 3, 4)),
            {"a": np.zeros(9)},
            {},
            ShapeError,
            r"must have shape \(N, D\), got \(9, 1, 3, 4\).* Tokens \(N, T, D\) become",
        ),
        (np.zeros((9, 3)), {"a": np.zeros(8)}, {}, DegenerateDataError, r"each of the 9 latents, got a \(8,\)"),
        (np.zeros((9, 3)), {"a": np.zeros(8)}, {"quantities": {"a": "a"}}, ShapeError, "each of the 9 latents"),
        (np.zeros((9, 3)), {"a": np.zeros(9)}, {"quantities": {"b": "b"}}, NameMismatchError, r"got \['b'\]"),
        (np.zeros((9, 3)), {}, {}, DegenerateDataError, "each of the 9 latents, got no array of numbers"),
        (np.zeros((9, 3)), np.zeros(9), {}, NameMismatchError, "files or a dict of arrays, got ndarray"),
    ],
)
def test_what_cannot_be_judged_is_said(z, y, settings, error, message):
    with pytest.raises(error, match=message):
        audit(z, y, AuditConfig(**settings))


def test_latents_of_a_file_that_holds_several_matrices_are_named(data, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros((9, 2)), b=np.zeros((9, 3)))
    with pytest.raises(ShapeError, match=r"got a \(9, 2\), b \(9, 3\)\. Name one with variable="):
        audit(tmp_path / "x.npz", tmp_path / "x.npz")
    with pytest.raises(NameMismatchError, match="got variable='c'"):
        audit(tmp_path / "x.npz", tmp_path / "x.npz", AuditConfig(variable="c"))


def test_nothing_is_said_where_all_is_well(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit(*data)


def test_arrays_are_named_as_in_training(data):
    z, y = data
    result = audit(z, y, AuditConfig(quantities={"f": "array:force", "energy": ""}))
    expected = audit(z, y, AuditConfig(quantities={"f": "force", "energy": "energy"}))
    assert numbers(result) == numbers(expected)
    assert list(numbers(result)) == ["f", "energy"]
    with pytest.raises(DegenerateDataError, match="one row for each of the 400 latents"):
        audit(z, y, AuditConfig(quantities={}))
