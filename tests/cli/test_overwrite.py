"""Results of an earlier command are replaced only with --overwrite, and then leave nothing of it behind."""

import shutil

import numpy as np
import pytest

from isospan._core.figures import empty_figure
from isospan.experiment.reports import figures

SMALL = ("--epochs", 1, "--batch-size", 8, "--max-bins", 3)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def blank_figures():
    """Draw only the heat maps of `size`: drawing takes longer than all else on a small cut."""
    with pytest.MonkeyPatch.context() as patch:
        for name in figures.__all__:
            patch.setattr(figures, name, lambda *_, **__: empty_figure(""))
        for name in ("plot_cross_decodability", "plot_drift", "plot_threshold_sweep"):
            patch.setattr(f"isospan.experiment.reports._html.{name}", lambda *_, **__: empty_figure(""))
        yield


@pytest.fixture(scope="module")
def trained(flow, tmp_path_factory):
    """A run of two quantities, with the unguided network, and files of other origin in its directories."""
    from typer.testing import CliRunner

    from isospan.cli import app

    out = tmp_path_factory.mktemp("overwrite") / "run"
    arguments = ["train", flow, "--out", out, "-q", "local_mean", "-q", "gradient_x", "--variable", "u", *SMALL]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def refused(result):
    message = " ".join(result.stderr.split())
    assert "The files to write must not exist, got" in message
    assert "Write elsewhere with --out, or replace them with --overwrite." in message
    return message


def test_train_refuses_a_directory_with_a_run_and_names_every_way_out(run, flow, isospan):
    before = contents(run)
    message = refused(isospan("train", flow, "--out", run, "-q", "local_mean", "--variable", "u", *SMALL, code=2))
    assert f"{run / 'report.html'}, {run / 'metrics.json'}" in message
    assert "Or continue the run with --resume." in message
    assert contents(run) == before


def test_train_replaces_a_run_and_removes_the_rest_of_it(run, flow, isospan):
    foreign = {
        "notes.txt": b"mine",
        "figures/mine.png": b"mine",
        "figures/edit_9.png": b"mine, with a name that a report could have",
        "figures/r2 of may.png": (run / "figures/r2.png").read_bytes(),  # a copy under another name
        "checkpoints/unguided/notes.txt": b"mine",
    }
    before = contents(run)
    for name, content in foreign.items():
        (run / name).write_bytes(content)
    isospan(
        *("train", flow, "--out", run, "-q", "local_mean", "--variable", "u", *SMALL, "--no-baseline", "--overwrite")
    )
    after = contents(run)
    assert {name: after[name] for name in foreign} == foreign
    gone = {"figures/edit_2.png", "figures/angles.png", "figures/cross_decodability.png"}
    gone |= {name for name in before if name.startswith("checkpoints/unguided/")}
    assert set(after) == (set(before) - gone) | set(foreign)


@pytest.mark.parametrize("name", ["figures/losses.png", "space.safetensors"])
@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_train_does_not_replace_a_file_of_other_origin(flow, isospan, tmp_path, name, resume):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    arguments = ("train", flow, "--out", tmp_path, "-q", "local_mean", "--variable", "u", *SMALL, *resume)
    message = refused(isospan(*arguments, code=2))
    assert str(tmp_path / name) in message
    assert "--resume" not in message
    assert contents(tmp_path) == {name: b"mine"}


def test_the_demonstration_refuses_a_directory_with_results(run, isospan, tmp_path):
    refused(isospan("demo", "--out", run, code=2))
    (tmp_path / "held_out.npz").write_bytes(b"mine")
    assert "held_out.npz" in refused(isospan("demo", "--out", tmp_path, code=2))


def test_an_edit_of_another_quantity_removes_the_earlier_image(run, flow, isospan, tmp_path):
    out = tmp_path / "edits"
    edit = ("edit", run, flow, "--out", out, "--set")
    isospan(*edit, "local_mean=*1.5")
    shutil.copy(flow, tmp_path / "flow-2.npz")
    isospan("edit", run, tmp_path / "flow-2.npz", "--out", out, "--set", "local_mean=*1.5")
    (out / "edited-flow-gradient_y.png").write_bytes(b"mine")
    shutil.copy(out / "edited-flow-local_mean.png", out / "edited-flow-of may.png")
    before = contents(out)
    isospan(*edit, "gradient_x=*1.5", "--overwrite")
    after = contents(out)
    assert set(after) == {*before, "edited-flow-gradient_x.png"} - {"edited-flow-local_mean.png"}
    others = [name for name in after if name not in ("edited-flow.npz", "edited-flow-gradient_x.png")]
    assert [after[name] for name in others] == [before[name] for name in others]


def test_size_replaces_and_removes_its_heat_map(flow, isospan, tmp_path):
    out = tmp_path / "sizes.png"
    size = ("size", flow, "--variable", "u", "--max-bins", 3, "--out", out, "-q")
    isospan(*size, "local_mean")
    first = out.read_bytes()
    assert str(out) in refused(isospan(*size, "gradient_x", code=2))
    assert out.read_bytes() == first
    isospan(*size, "gradient_x", "--overwrite")
    assert out.read_bytes() != first
    isospan(*size, "age", "--overwrite")  # a number has no heat map
    assert not out.exists()
    out.write_bytes(b"mine")
    isospan(*size, "age", "--overwrite")
    assert out.read_bytes() == b"mine"


def test_probe_replaces_a_report_and_removes_the_rest_of_it(isospan, tmp_path):
    rng = np.random.default_rng(0)
    z, out = rng.standard_normal((300, 8)), tmp_path / "out"
    np.save(tmp_path / "z.npy", z)
    np.savez(tmp_path / "y.npz", heat=z[:, 0], force=z[:, 1:4])
    probe = ("probe", tmp_path / "z.npy", tmp_path / "y.npz", "--out", out)
    isospan(*probe)
    before = contents(out)
    assert "figures/angles.png" in before
    assert str(out / "report.html") in refused(isospan(*probe, "-q", "heat", code=2))
    assert contents(out) == before
    isospan(*probe, "-q", "heat", "--overwrite")
    assert set(contents(out)) == set(before) - {"figures/angles.png", "figures/cross_decodability.png"}


def test_a_probe_of_latents_does_not_replace_a_trained_space(trained, tmp_path, isospan):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "z.npy", rng.standard_normal((60, 4)))
    np.savez(tmp_path / "y.npz", a=rng.standard_normal(60))
    before = contents(trained)
    result = isospan("probe", tmp_path / "z.npy", tmp_path / "y.npz", "--out", trained, "--overwrite", code=2)
    assert "must not be that of a training run" in " ".join(result.output.split())
    assert contents(trained) == before
