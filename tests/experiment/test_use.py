"""Reading and editing quantities of files with what was trained."""

import importlib
import shutil
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from isospan._core.tensor_files import load_tensors, save_tensors
from isospan.errors import (
    DtypeError,
    FileFormatError,
    NameMismatchError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.evaluation._evaluation import evaluate
from isospan.experiment import TrainConfig, TrainedRun, decode, edit, probe, train
from isospan.experiment._data import read_source
from isospan.experiment._use import parse_change
from isospan.experiment.outputs import default_path, write_decoded, write_edited
from isospan.experiment.samples import hold_out
from isospan.quantities import pool
from isospan.quantities.fields import gradient_x, local_mean
from isospan.subspaces import LatentSpace

pytestmark = pytest.mark.filterwarnings(  # the networks here are hardly trained
    "ignore:The decoded output shows:isospan.errors.NumericalWarning",
    "ignore:.* steps are longer than:isospan.errors.NumericalWarning",
)
READ = torch.arange(8.0).view(2, 1, 2, 2)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    noise = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("data") / "flow.npz"
    np.savez(
        path, u=torch.nn.functional.interpolate(noise, size=(16, 16), mode="bilinear").numpy()[:, 0], T=np.zeros(40)
    )
    return path


@pytest.fixture(scope="module")
def run(flow, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    settings = {"epochs": 2, "batch_size": 8, "width": 4, "max_bins": 3, "orthogonal": True, "baseline": False}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Probes are fitted on")  # 8 samples are held out
        patch.setattr("isospan.experiment.reports.write_report", lambda summary, out: out)
        quantities = {"local_mean": "", "gradient_x": ""}
        train(TrainConfig(files=[flow], variable="u", quantities=quantities, out=out, **settings))
    return out


def test_decoding_gives_every_quantity_of_every_sample(run, flow):
    decoded = decode(run, flow)
    assert {name: values.shape for name, values in decoded.items()} == {
        name: (40, *shape) for name, shape in train_shapes(run).items()
    }


def test_decoding_gives_standard_deviations_of_held_out_residuals(run, flow):
    """A run calibrates its space on the 8 samples that it holds out: their errors over the deviations are 1 in rms."""
    decoded, std = decode(run, flow, std=True)
    space, samples = LatentSpace.load(run / "space.safetensors"), TrainedRun.load(run).open(flow).samples
    held_out = hold_out(samples, 0.2, blocks=5)[1][0:8]
    true = TrainedRun.load(run).targets()(held_out)
    for name, values in decode(run, flow).items():
        assert np.array_equal(values, decoded[name])
        assert std[name].shape == values.shape
        assert len(space.scores[name]) == 8
        found, deviation = (part[name] for part in TrainedRun.load(run).decode(held_out, std=True))
        error = (true[name].double().numpy() - found) / deviation
        # float32 networks, in batches of other sizes
        np.testing.assert_allclose(np.square(error).mean(0), 1, rtol=1e-3)


def test_a_run_of_version_0_1_0_has_no_standard_deviations(run, flow, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    space = LatentSpace.load(copy / "space.safetensors")
    replace(space, residual_std=None, scores=None, n_samples=None, cov_zz=None).save(copy / "space.safetensors")
    with pytest.raises(NotSolvedError, match="does not hold"):
        decode(copy, flow, std=True)
    assert decode(copy, flow)["local_mean"].shape[0] == 40


def train_shapes(run):
    from isospan.subspaces._latent_space import LatentSpace

    return LatentSpace.load(run / "space.safetensors").shapes


def test_the_variables_of_the_run_are_found_again(run, flow, tmp_path):
    renamed = tmp_path / "renamed.npz"
    np.savez(renamed, velocity=np.load(flow)["u"])
    with pytest.raises(FileFormatError, match="has no variable 'u'"):
        decode(run, renamed)
    plain = tmp_path / "plain.npy"
    np.save(plain, np.load(flow)["u"])
    assert np.allclose(decode(run, plain)["local_mean"], decode(run, flow)["local_mean"])


def test_an_edit_reaches_its_target_and_leaves_the_rest(run, flow):
    """The latent is moved so that one quantity doubles; the other is read as before."""
    edited = edit(run, flow, {"local_mean": "*2"}, linear=True)
    wanted, read = edited.targets["local_mean"], edited.read_after["local_mean"]
    assert torch.equal(wanted, 2 * edited.read_before["local_mean"])
    assert edited.after.shape == edited.before.shape == (40, 1, 16, 16)
    change = (edited.read_after["gradient_x"] - edited.read_before["gradient_x"]).norm() / edited.read_before[
        "gradient_x"
    ].norm()
    assert change < 1e-4  # float32 latents
    assert (read - wanted).norm() < (edited.read_before["local_mean"] - wanted).norm()


def test_fields_of_more_latents_than_a_batch_are_all_there(run):
    trained = TrainedRun.load(run)
    z = torch.randn(600, trained.space.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = trained.model.decode(z)
    fields = trained.fields(z)
    assert fields.shape == expected.shape == (600, 1, 16, 16)
    assert torch.allclose(fields, expected, atol=1e-5)  # float32 convolutions of another batch size


@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
def test_probing_scores_new_files(run, flow):
    evaluation = probe(run, flow)
    assert evaluation.names == ("local_mean", "gradient_x")
    assert evaluation.n_samples == 40


def laplacian(x):
    """Bears the name of a built-in quantity, and is another."""
    return x**2


def test_probing_scores_the_function_that_was_trained_on(flow, tmp_path):
    settings = {"epochs": 1, "batch_size": 8, "width": 4, "max_bins": 3, "baseline": False, "out": tmp_path}
    result = train(TrainConfig(files=[flow], variable="u", quantities={"laplacian": laplacian}, **settings))
    fields = torch.from_numpy(np.load(flow)["u"])[:, None]
    with torch.no_grad():
        z = result.model.eval().encode(fields)
    y = {"laplacian": pool(fields**2, result.sizes.n["laplacian"])}
    # float32 convolutions, in batches of another size
    scored = probe(tmp_path, flow, quantities={"laplacian": laplacian})
    assert scored.subspace_r2 == pytest.approx(evaluate(result.space, z, y).subspace_r2, abs=1e-4)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("*1.5", 1.5 * READ),
        ("+0.5", READ + 0.5),
        ("+-0.5", READ - 0.5),
        ("-2", torch.full_like(READ, -2)),
        (3, torch.full_like(READ, 3)),
        (np.ones((2, 2)), torch.ones_like(READ)),
        (torch.ones(1, 2, 2), torch.ones_like(READ)),
        (2 * READ, 2 * READ),
    ],
)
def test_what_a_change_means(how, expected):
    assert torch.equal(parse_change("q", how, READ), expected)


def test_targets_at_full_resolution_are_pooled():
    fine = torch.randn(2, 1, 6, 8)
    assert torch.equal(parse_change("q", fine, READ), pool(fine, 2))
    assert torch.equal(parse_change("q", fine[0, 0], READ), pool(fine[:1], 2).expand(2, 1, 2, 2))


def test_targets_in_files(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 2), 7.0))
    np.savez(tmp_path / "b.npz", q=np.full((2, 2), 7), other=np.zeros(3))
    for name in ("a.npy", "b.npz"):
        assert torch.equal(parse_change("q", str(tmp_path / name), READ), torch.full_like(READ, 7))
    with pytest.raises(FileFormatError, match="array of numbers for 'r'"):
        parse_change("r", str(tmp_path / "b.npz"), READ)
    with pytest.raises(FileFormatError, match="must be a file that exists"):
        parse_change("q", str(tmp_path / "missing.npy"), READ)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("double", OptionError, "must be a number, .*, got 'double'"),
        ("*", OptionError, "must be a number, .*, got ''"),
        (np.zeros(3), ShapeError, r"must broadcast to \(N, ...\) = \(2, 1, 2, 2\), got \(3,\)"),
        (np.zeros((2, 2), dtype=complex), DtypeError, "must be real"),
    ],
)
def test_changes_that_cannot_be(how, error, message):
    with pytest.raises(error, match=message):
        parse_change("q", how, READ)


def test_a_quantity_the_run_does_not_hold(run, flow):
    with pytest.raises(NameMismatchError, match=r"some of the quantities \['local_mean', 'gradient_x'\], got \['h"):
        edit(run, flow, {"heat": 1})
    with pytest.raises(NameMismatchError):
        edit(run, flow, {})


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(FileFormatError, match="must hold a finished run"):
        decode(tmp_path, "x.npz")


def test_decoded_quantities_as_npz_and_netcdf(tmp_path):
    xarray = pytest.importorskip("xarray")
    arrays = {"field": np.random.default_rng(0).normal(size=(5, 1, 2, 2)), "number": np.arange(5.0)[:, None]}
    loaded = np.load(write_decoded(tmp_path / "d.npz", arrays))
    assert np.array_equal(loaded["field"], arrays["field"])
    path = default_path(tmp_path, ["in.nc"], kind="decoded")
    assert path.suffix == ".nc"
    write_decoded(path, arrays)
    with xarray.open_dataset(path) as written:
        assert written["field"].dims == ("sample", "field_channel", "field_y", "field_x")
        assert np.array_equal(written["field"].values, arrays["field"])
        assert np.array_equal(written["sample"].values, range(5))


@pytest.mark.parametrize(
    ("dims", "sample_dim"), [(("time", "y", "x"), None), (("y", "x", "time"), "time"), (("y", "x", "time"), 2)]
)
@pytest.mark.parametrize("n", [1, 4, 5])
def test_decoded_quantities_keep_the_dimension_that_counts_samples(tmp_path, dims, sample_dim, n):
    """Also where it is not the first, has as many entries as another, and is spread over files."""
    xarray = pytest.importorskip("xarray")
    times, files = np.arange(3.0, 3 + n), []
    for i, part in enumerate(np.array_split(times, min(n, 2))):
        sizes = {"time": len(part), "y": 4, "x": 5}
        u = xarray.DataArray(
            np.zeros([sizes[dim] for dim in dims]),
            dims=dims,
            coords={"time": ("time", part, {"units": "days"}), "y": np.arange(4.0), "height": 2.0},
        )
        other = xarray.DataArray(np.zeros((2, 2, 2, 2)), dims=("a", "b", "c", "d"))
        files.append(tmp_path / f"{i}.nc")
        xarray.Dataset({"u": u, "other": other}).to_netcdf(files[-1])
    coordinate = read_source(files, variable="u", sample_dim=sample_dim).sample_coordinate
    path = write_decoded(tmp_path / "out.nc", {"field": np.zeros((n, 1, 2, 2))}, coordinate)
    with xarray.open_dataset(path, decode_times=False) as written:
        assert written["field"].dims == ("time", "field_channel", "field_y", "field_x")
        assert np.array_equal(written["time"].values, times)
        assert written["time"].attrs["units"] == "days"
        assert set(written.coords) == {"time"}


def test_samples_without_a_coordinate_are_numbered(tmp_path, flow):
    xarray = pytest.importorskip("xarray")
    for i in range(2):
        xarray.Dataset({"u": (("run", "y", "x"), np.zeros((3, 4, 4)))}).to_netcdf(tmp_path / f"{i}.nc")
    coordinate = read_source([tmp_path / "0.nc", tmp_path / "1.nc"]).sample_coordinate
    assert coordinate.name == "run"
    assert coordinate.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert read_source([flow], variable="u").sample_coordinate is None


def test_standard_deviations_have_names_that_no_quantity_has(tmp_path):
    xarray = pytest.importorskip("xarray")
    arrays = {"a": np.arange(3.0)[:, None], "a_std": np.ones((3, 1, 2, 2)), "u/v": np.zeros((3, 1))}
    std = {name: values + i for i, (name, values) in enumerate(arrays.items(), 10)}
    loaded = np.load(write_decoded(tmp_path / "d.npz", arrays, std=std))
    assert list(loaded) == ["a", "a_std", "u/v", "a_std_", "a_std_std", "u/v_std"]
    for name, written in zip(arrays, ("a_std_", "a_std_std", "u/v_std"), strict=True):
        assert np.array_equal(loaded[name], arrays[name])
        assert np.array_equal(loaded[written], std[name])
    with xarray.open_dataset(write_decoded(tmp_path / "d.nc", arrays, std=std)) as file:
        for name, written in {"a": "a_std_", "a_std": "a_std_std", "u/v": "u%2Fv_std"}.items():
            assert np.array_equal(file[written].values, std[name])
            assert file[written].attrs["long_name"] == f"standard deviation of {name}"
        assert file["a_std_std"].dims == file["a_std"].dims
        assert len(file.data_vars) == 6


def test_quantities_of_an_unknown_format_are_refused_without_a_trace(tmp_path):
    with pytest.raises(OptionError, match=r"must end in \.npz or, for NetCDF, in .*, got '.*x\.dat'"):
        write_decoded(tmp_path / "x.dat", {"a": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_edited_fields_are_written_with_an_image_for_each_quantity(run, flow, tmp_path):
    paths = write_edited(tmp_path / "out" / "edited.npz", edit(run, flow, {"local_mean": "*2", "gradient_x": "+0.1"}))
    assert [path.name for path in paths] == ["edited.npz", "edited-local_mean.png", "edited-gradient_x.png"]
    assert np.load(paths[0])["fields"].shape == (40, 1, 16, 16)
    assert paths[1].read_bytes()[1:4] == b"PNG"


def test_what_an_edit_achieves_is_computed_from_the_fields(run, flow):
    edited = edit(run, flow, {"local_mean": "*2"}, linear=True)
    assert set(edited.computed_after) == {"local_mean", "gradient_x"}
    assert not edited.decoded
    computed = pool(local_mean(edited.after), edited.read_after["local_mean"].shape[-1])
    assert torch.allclose(edited.computed_after["local_mean"], computed, atol=1e-6)  # float32, in batches
    asked = (edited.targets["local_mean"] - edited.read_before["local_mean"]).double()
    whole = replace(edited, computed_after={"local_mean": edited.computed_before["local_mean"] + asked})
    assert whole.fidelity("local_mean") == pytest.approx(1, abs=1e-5)
    assert replace(edited, computed_after=edited.computed_before).fidelity("local_mean") == 0
    assert np.isnan(edited.fidelity("gradient_x"))


def test_an_edit_goes_through_the_decoder_where_the_quantity_is_a_function_of_the_fields(run, flow):
    passes = []
    through = edit(run, flow, {"local_mean": "+0.3"}, progress=lambda *done: passes.append(done))
    plain = edit(run, flow, {"local_mean": "+0.3"}, linear=True)
    assert through.decoded == ("local_mean",)
    assert passes[-1] == (29, 29)
    target, trained = through.targets["local_mean"], TrainedRun.load(run)
    n = target.shape[-1]
    latents = trained.space.edit(
        trained.encode(trained.open(flow).samples).double(),
        {"local_mean": target},
        decoder=trained.model.decode,
        quantities={
            "local_mean": lambda x: pool(local_mean(x), n),
            "gradient_x": lambda x: pool(gradient_x(x), trained.space.shapes["gradient_x"][-1]),
        },
    )
    assert torch.allclose(through.latents, latents)
    errors = [(edited.computed_after["local_mean"] - target).square().sum() for edited in (through, plain)]
    assert errors[0] < errors[1]
    asked = (target - through.computed_before["local_mean"]).double()
    shown = (through.computed_after["local_mean"] - through.computed_before["local_mean"]).double()
    assert through.fidelity("local_mean") == pytest.approx(float((shown * asked).sum() / asked.square().sum()))
    scale = float(LatentSpace.load(run / "space.safetensors").y_scale["gradient_x"])
    change = through.computed_after["gradient_x"] - through.computed_before["gradient_x"]
    assert through.side_effects == pytest.approx({"gradient_x": float(change.square().mean().sqrt()) / scale})


def test_a_target_far_from_the_training_data_is_warned_of(run, flow):
    with pytest.warns(NumericalWarning, match="'local_mean' is .* standard deviations from the mean"):
        edit(run, flow, {"local_mean": 100})


def test_probes_that_have_too_few_samples_are_left_out(run, flow, tmp_path):
    few = tmp_path / "few.npz"
    np.savez(few, u=np.load(flow)["u"][:8])
    with pytest.warns(NumericalWarning, match="on 4 samples, too few to read from the subspaces of 'local_mean'"):
        evaluation = probe(run, few)
    assert all(
        np.isnan(
            [
                *evaluation.subspace_r2.values(),
                *evaluation.rank_k_probe_r2.values(),
                *evaluation.linear_probe_r2.values(),
            ]
        )
    )
    assert np.isfinite(list(evaluation.decoder_r2.values())).all()


def test_quantities_of_npz_files_are_written_as_netcdf(run, flow, tmp_path):
    xarray = pytest.importorskip("xarray")
    edited = edit(run, flow, {"local_mean": "*1.1"})
    with xarray.open_dataset(write_edited(tmp_path / "edited.nc", edited)[0]) as written:
        assert written["fields"].dims == ("sample", "fields_channel", "fields_y", "fields_x")
        assert {"fields_before", "latents", "read_local_mean", "read_gradient_x"} <= set(written.data_vars)


OWN = "def doubled(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory of modules that counts as installed."""
    site = tmp_path_factory.mktemp("site")
    (site / "isospan_test_own.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield site


@pytest.fixture(scope="module")
def own(flow, installed, tmp_path_factory):
    """A run of a built-in quantity and two of functions of the user: of a module, and of a file."""
    out = tmp_path_factory.mktemp("own")
    settings = {"epochs": 1, "batch_size": 8, "width": 4, "max_bins": 3, "orthogonal": True, "baseline": False}
    (out / "physics.py").write_text(OWN)
    quantities = {"mean": "local_mean", "own": "isospan_test_own:doubled", "mine": f"{out}/physics.py:doubled"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Probes are fitted on")  # 8 samples are held out
        patch.setattr("isospan.experiment.reports.write_report", lambda summary, out: out)
        train(TrainConfig(files=[flow], variable="u", quantities=quantities, out=out, **settings))
    sys.modules.pop("isospan_test_own", None)
    for path in (installed / "isospan_test_own.py", out / "physics.py"):
        path.write_text("raise SystemExit('it was imported')")
    return out


def rewritten(run, out, change):
    """A copy of a run, in which the record of its header was changed."""
    shutil.copytree(run, out)
    path = run / "model.safetensors"
    options = {"kind": "network", "schema": 1}
    header, tensors = load_tensors(path, lambda *parts: parts, **options, what="a network", remedy="")
    save_tensors(
        out / "model.safetensors",
        tensors,
        **options,
        network=header["network"],
        run=change(header["run"]) or header["run"],
    )
    return out


def test_without_trust_everything_is_decoded_and_edited_and_nothing_imported(own, flow):
    assert set(decode(own, flow)) == {"mean", "own", "mine"}
    assert edit(own, flow, {"mean": "*1.1"}).fidelity("mean") == pytest.approx(0, abs=10)  # a number, and no warning
    with pytest.warns(NumericalWarning, match=r"'own' .* 'isospan_test_own:doubled'.* trust=True .*{'own': FUNCTION}"):
        edited = edit(own, flow, {"own": "*1.1"})
    assert np.isnan(edited.fidelity("own"))
    assert torch.allclose(edited.targets["own"], 1.1 * edited.read_before["own"])


@pytest.mark.filterwarnings("ignore:Probes are fitted:isospan.errors.NumericalWarning")
def test_without_trust_what_can_be_computed_is_scored(own, flow, tmp_path):
    with pytest.warns(NumericalWarning, match="decoded and edited, but not computed") as caught:
        evaluation = probe(own, flow)
    assert evaluation.names == ("mean",)
    assert sum("not computed" in str(warning.message) for warning in caught) == 2
    everything = probe(own, flow, quantities={"own": lambda x: 2 * x, "mine": lambda x: 2 * x})
    assert everything.names == ("mean", "own", "mine")
    assert evaluation.subspace_r2["mean"] == pytest.approx(everything.subspace_r2["mean"], abs=1e-9, nan_ok=True)
    only_own = rewritten(own, tmp_path / "run", lambda run: run["quantities"].update(mean="isospan_test_own:doubled"))
    with pytest.warns(NumericalWarning, match="not computed"), pytest.raises(OptionError, match="must be computed"):
        probe(only_own, flow)


def test_a_function_is_passed_again_or_trusted(own, flow, installed):
    passed = edit(own, flow, {"own": "*1.1"}, quantities={"own": lambda x: 2 * x})
    assert np.isfinite(passed.fidelity("own"))
    (installed / "isospan_test_own.py").write_text(OWN)
    importlib.invalidate_caches()
    trusted = edit(own, flow, {"own": "*1.1"}, trust=True)
    assert trusted.fidelity("own") == passed.fidelity("own")
    with pytest.warns(NumericalWarning, match=r"must be module:name of an installed module, and not.*\{'mine': FUNC"):
        edit(own, flow, {"mine": "*1.1"}, trust=True)
    with pytest.raises(NameMismatchError, match=r"has the quantities .*, got \['heat'\]"):
        edit(own, flow, {"mean": 1}, quantities={"heat": "local_mean"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.pop("dims") and None, "must have the field 'dims'"),
        (lambda run: run["quantities"].update(local_mean=["x"]), "'quantities' of the run must be a dict of strings"),
        (lambda run: run["quantities"].pop("local_mean") and None, "must be of one run"),
        (lambda run: run["dims"].update(local_mean=["x", 2]), "'dims' of the run must be a dict of pairs"),
        (lambda run: run["dims"].update(local_mean=[10**6, 2]), "pooled sizes must be those of the space"),
        (lambda run: run["dims"].update(local_mean=[3, None]), "'dims' of the run must be a dict of pairs"),
        (
            lambda run: run["dims"].update(local_mean=[None, 10**6]),
            "dimensions must be those .* {'local_mean': 1000000}",
        ),
        (lambda run: run["settings"].update(dx="wide"), "'dx' of the settings of the run must be one number or two"),
        (lambda run: run["settings"].update(fill=float("nan")), "'fill' of the settings .* a finite number or null"),
        (lambda run: run["settings"].update(sample_dim=[1]), "'sample_dim' of the settings of the run must be"),
        (lambda run: run.update(channels="u"), "'channels' of the run must be a list of names, got 'u'"),
        (lambda run: "nothing", "The run must be described by a dict, got 'nothing'"),
    ],
)
def test_a_record_of_other_types_is_refused_by_name(run, flow, tmp_path, change, message):
    with pytest.raises(FileFormatError, match=message):
        decode(rewritten(run, tmp_path / "copy", change), flow)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"names": 3, "shapes": []}, "is not a readable latent space"),
        ({"names": ["a\nb"], "shapes": [[1]]}, "printable"),
        (
            {"names": ["local_mean"], "shapes": [[-1, -1]]},
            r"size of the shape of quantity 'local_mean' must be at least 1, got -1",
        ),
    ],
)
def test_a_space_of_other_types_is_refused(run, flow, tmp_path, header, message):
    shutil.copytree(run, tmp_path / "copy")
    tensors = {f"{what}.0": torch.ones(1, 1) for what in ("W", "A")}
    tensors |= {"y_mean.0": torch.ones(1), "y_scale.0": torch.ones(()), "z_mean": torch.ones(1)}
    save_tensors(tmp_path / "copy" / "space.safetensors", tensors, kind="LatentSpace", schema=1, **header)
    with pytest.raises(FileFormatError, match=message):
        decode(tmp_path / "copy", flow)


def test_a_run_without_the_covariance_of_its_latents_takes_the_shortest_steps(run, flow, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    space = LatentSpace.load(run / "space.safetensors")
    assert space.cov_zz.shape == (space.latent_dim, space.latent_dim)
    replace(space, cov_zz=None).save(copy / "space.safetensors")
    np.testing.assert_array_equal(decode(copy, flow)["local_mean"], decode(run, flow)["local_mean"])
    with pytest.warns(NumericalWarning, match=r"of version 0\.1\.0.* shortest step"):
        edited = edit(copy, flow, {"local_mean": "*2"})
    shown, target = edited.read_after["local_mean"], edited.targets["local_mean"]
    assert float((shown - target).norm()) < 0.5 * float((edited.read_before["local_mean"] - target).norm())


def test_a_pooled_size_of_a_quantity_that_is_a_number_is_refused(run, flow, tmp_path):
    copy = rewritten(run, tmp_path / "copy", lambda run: run["dims"].update(local_mean=[3, 1]))
    space = LatentSpace.load(run / "space.safetensors")
    parts = {"y_mean": space.y_mean | {"local_mean": torch.ones(1)}, "y_scale": space.y_scale}
    parts |= {
        what: getattr(space, what) | {"local_mean": getattr(space, what)["local_mean"][:1, :n]}
        for what, n in (("W", space.latent_dim), ("A", 1))
    }
    number = LatentSpace(z_mean=space.z_mean, shapes=space.shapes | {"local_mean": ()}, **parts)
    number.save(copy / "space.safetensors")
    with pytest.raises(FileFormatError, match=r"pooled sizes must be those of the space, .*'local_mean': \(\)"):
        decode(copy, flow)
