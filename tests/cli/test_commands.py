"""Each command on small fields: what it prints, what it writes, and its errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isospan._core.tensor_files import load_tensors, save_tensors
from isospan.errors import OptionError

SMALL = ("--epochs", 2, "--batch-size", 8, "--max-bins", 3)


@pytest.fixture(scope="module")
def run(flow, tmp_path_factory):
    """A trained run of two quantities."""
    from typer.testing import CliRunner

    from isospan.cli import app

    out = tmp_path_factory.mktemp("run")
    arguments = ["train", flow, "--out", out, "-q", "local_mean", "-q", "years=array:age", "--variable", "u", *SMALL]
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return out, result.output


def test_train_prints_sizes_progress_results_and_the_report(run):
    out, text = run
    for part in ("quantity", "local_mean", "years", "guided, epoch", "left, task", "held-out R²", "without guidance"):
        assert part in text
    assert f"The report is {out / 'report.html'}" in text
    assert "\x1b[" not in text  # no colours or cursor movements where there is no terminal
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["settings"]["quantities"] == {"local_mean": "local_mean", "years": "array:age"}


@pytest.mark.usefixtures("no_figures")
def test_resume_continues_a_finished_run_without_training(run, flow, isospan):
    out, _ = run
    result = isospan(
        "train", flow, "--out", out, "-q", "local_mean", "-q", "years=array:age", "--variable", "u", *SMALL, "--resume"
    )
    assert ", epoch " not in result.output
    assert "held-out R²" in result.output


def test_decode_and_edit_use_the_run(run, flow, isospan, tmp_path):
    out, _ = run
    result = isospan("decode", out, flow, "--out", tmp_path / "d.npz")
    assert "local_mean: (40, 1, " in result.output
    assert "standard deviation of the error" in result.output
    assert np.load(tmp_path / "d.npz")["years"].shape == np.load(tmp_path / "d.npz")["years_std"].shape == (40, 1)
    isospan("decode", out, flow, "--out", tmp_path / "d.nc")
    assert (tmp_path / "d.nc").is_file()
    result = isospan("edit", out, flow, "--set", "local_mean=*1.5", "--set", "years=3", "--out", tmp_path)
    assert "local_mean: edit fidelity " in result.output
    assert "years: the edit fidelity is not measured" in result.output
    assert "editing: 29 of 29 passes of the decoder" in result.output
    result = isospan("edit", out, flow, "--set", "local_mean=*1.5", "--linear", "--out", tmp_path / "linear")
    assert "local_mean: edit fidelity " in result.output
    assert "years: side effect " in result.output
    assert "passes of the decoder" not in result.output
    assert np.load(tmp_path / "edited-flow.npz")["fields"].shape == (40, 1, 16, 16)
    assert (tmp_path / "edited-flow-local_mean.png").is_file()
    assert "Wrote" in result.output


def test_results_are_replaced_only_with_overwrite(run, flow, isospan, tmp_path):
    edit = ("edit", run[0], flow, "--out", tmp_path, "--set")
    isospan(*edit, "local_mean=*1.5")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = " ".join(isospan(*edit, "local_mean=*3", code=2).stderr.split())
    assert "edited-flow.npz" in refused
    assert "edited-flow-local_mean.png" in refused
    assert "with --out, or replace them with --overwrite" in refused
    assert "edited-flow.npz" in isospan(*edit, "years=3", code=2).stderr  # whatever quantity is set
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    isospan(*edit, "local_mean=*3", "--overwrite")
    assert (tmp_path / "edited-flow.npz").read_bytes() != first["edited-flow.npz"]

    decode = ("decode", run[0], flow, "--out", tmp_path / "d.npz")
    isospan(*decode)
    (tmp_path / "d.npz").write_bytes(b"kept")
    assert "--overwrite" in isospan(*decode, code=2).stderr
    assert (tmp_path / "d.npz").read_bytes() == b"kept"
    isospan(*decode, "--overwrite")
    assert np.load(tmp_path / "d.npz")["years"].shape == (40, 1)


def test_probe_scores_the_run(run, flow, isospan):
    result = isospan("probe", run[0], flow)
    assert "R² on 40 samples ┃ stored decoder" in " ".join(result.output.split())
    assert "years" in result.output


def test_size_shows_the_table_and_writes_the_heat_map(flow, isospan, tmp_path):
    result = isospan("size", flow, "-q", "local_mean", "--variable", "u", "--out", tmp_path / "sizes.png")
    assert "local_mean" in result.output
    assert (tmp_path / "sizes.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "missing.npz", "-q", "local_mean"), "missing.npz does not exist"),
        (("train", "FLOW", "-q", "nothing"), "There is no quantity 'nothing'"),
        (("train", "FLOW", "-q", "local_mean", "--latent", "many"), "'auto' or an integer"),
        (("train", "FLOW", "-q", "local_mean", "--dx", "wide"), "--dx must be one number, or two"),
        (("train", "FLOW", "-q", "local_mean", "--test-fraction", "2"), "fraction held out must be between 0 and 1"),
        (("train", "FLOW", "-q", "stream_function"), "periodic"),
        (("train", "FLOW", "-q", "local_mean", "--fill", "nan"), "--fill must be a finite number"),
        (("size", "FLOW", "-q", "local_mean", "--fill", "inf"), "--fill must be a finite number"),
        (
            ("train", "FLOW", "-q", "local_mean", "--encoder", "nowhere:Net"),
            "'nowhere' of 'nowhere:Net' cannot be imported",
        ),
        (("size", "FLOW", "-q", "=x"), "A quantity must be written NAME or NAME=how"),
        (("decode", "nowhere", "FLOW"), "must hold a finished run"),
        (("edit", "nowhere", "FLOW", "--set", "local_mean"), "--set must be NAME=VALUE"),
        (
            ("edit", "nowhere", "FLOW", "--set", "a=1", "--set", "a=2"),
            "--set must name each quantity once, got 'a' twice",
        ),
        (("size", "FLOW", "-q", "local_mean", "-q", "local_mean=laplacian"), "--quantity must name each quantity once"),
        (("train", "FLOW", "-q", "local_mean", "--device", "nowhere"), "--device must be one that torch can use here"),
        (("decode", "nowhere", "FLOW", "--device", "nowhere"), "--device must be one that torch can use here"),
        (
            ("train", "FLOW", "-q", "kinetic_energy"),
            "Quantity 'kinetic_energy': A velocity must have shape (..., 2, H, W)",
        ),
        (
            ("train", "FLOW", "-q", "kinetic_energy"),
            "--variable u --variable v, or use 'kinetic_energy_from_vorticity' for a vorticity",
        ),
    ],
)
def test_an_error_is_one_message_and_code_2(arguments, message, flow, isospan, tmp_path):
    arguments = [str(flow) if a == "FLOW" else a for a in arguments]
    where = ["--out", tmp_path / "out"] if arguments[0] in ("train", "size") else []
    result = isospan(*arguments, *where, code=2)
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")


def test_debug_shows_where_an_error_came_from(flow, isospan):
    with pytest.raises(OptionError, match="no quantity 'nothing'"):
        isospan("size", flow, "-q", "nothing", "--debug")


@pytest.mark.parametrize(("command", "resumes"), [("train", True), ("size", False)])
def test_an_interrupt_says_how_to_go_on_where_that_is_possible(flow, isospan, monkeypatch, command, resumes):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"isospan.experiment.{command}", interrupted)
    stderr = isospan(command, flow, "-q", "local_mean", code=130).stderr
    assert stderr.startswith("Interrupted.")
    assert ("--resume" in stderr) == resumes


def test_decoding_to_an_unknown_format_is_refused_before_any_work(isospan, tmp_path):
    result = isospan("decode", "nowhere", "FLOW", "--out", tmp_path / "x.dat", code=2)
    assert "must end in .npz or, for NetCDF, in" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_to_import():
    """Neither torch nor matplotlib is loaded to show what commands there are."""
    code = "import sys, isospan.cli; print([m for m in ('torch', 'matplotlib', 'numpy', 'xarray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_built_in_quantities_are_listed(isospan):
    from isospan.cli._options import QUANTITIES
    from isospan.quantities.fields import BUILTIN_QUANTITIES

    listed = " ".join(QUANTITIES.values()).split()
    assert sorted(listed) == sorted(BUILTIN_QUANTITIES)
    help_text = isospan("train", "--help").output
    assert all(name in help_text for name in listed)


def test_the_version(isospan):
    import isospan as package

    assert isospan("--version").output.strip() == package.__version__


def test_what_was_read_is_said(flow, isospan, tmp_path):
    text = isospan("size", flow, "-q", "age", "--out", tmp_path / "sizes.png").output
    assert "Read 40 samples of 1 × 16 × 16 (C × H × W) of u, along dimension 0" in text
    assert "No heat map is written" in text
    assert not (tmp_path / "sizes.png").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_failed_is_said_to_have_failed(flow, isospan, tmp_path):
    arguments = ("-q", "local_mean", "--epochs", 1, "--max-bins", 3, "--no-baseline", "--learning-rate", 1e-9)
    assert "Warning: " in isospan("train", flow, "--out", tmp_path, *arguments).output


@pytest.mark.usefixtures("no_figures")
def test_a_directory_that_was_used_is_said_to_be_replaced_and_one_that_was_not_starts_afresh(flow, isospan, tmp_path):
    arguments = ("train", flow, "--out", tmp_path / "run", "-q", "local_mean", "--no-baseline", *SMALL)
    assert "no run to resume" in isospan(*arguments, "--resume").output
    assert "Training, guided, resuming after epoch 2" in isospan(*arguments, "--resume").output
    assert "Replacing the run in" in isospan(*arguments, "--overwrite").output


def test_the_installed_command_lists_the_commands():
    done = subprocess.run(
        [Path(sys.executable).parent / "isospan", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("demo", "size", "train", "probe", "decode", "edit"):
        assert command in done.stdout


@pytest.fixture
def hostile(run, tmp_path):
    """A copy of the run whose files name a program as the encoder, and its arguments as the sizes."""
    copy = shutil.copytree(run[0], tmp_path / "hostile")
    options = {"kind": "network", "schema": 1}
    path = copy / "model.safetensors"
    header, tensors = load_tensors(path, lambda *parts: parts, **options, what="a network", remedy="")

    def name(**network):
        save_tensors(path, tensors, **options, network=header["network"] | network, run=header["run"])
        return copy

    return name


@pytest.mark.parametrize("command", ["decode", "edit", "probe"])
def test_a_run_directory_starts_no_program(hostile, flow, isospan, tmp_path, command):
    proof = tmp_path / "proof"
    arguments = {"channels": "/bin/sh", "size": ["sh", "-c", f"touch {proof}"], "latent_dim": {}}
    change = ["--set", "local_mean=1"] if command == "edit" else []
    refused = isospan(command, hostile(encoder="os:execve"), flow, *change, code=2).stderr
    assert "names the encoder 'os:execve'" in refused
    assert "--encoder module:Class; or --trust" in refused
    assert (
        "subclass of nn.Module"
        in isospan(command, hostile(encoder="os:execve"), flow, *change, "--trust", code=2).stderr
    )
    named = isospan(command, hostile(encoder="os:execve", **arguments), flow, *change, "--trust", code=2).stderr
    assert "'channels' of the network must be a whole number" in named
    assert not proof.exists()


def test_a_function_of_a_file_is_named_again(flow, isospan, tmp_path, no_figures):
    (tmp_path / "mine.py").write_text("def doubled(x):\n    return 2 * x\n")
    own = f"own={tmp_path}/mine.py:doubled"
    isospan("train", flow, "--out", tmp_path / "run", "-q", own, "--variable", "u", *SMALL, "--no-baseline")
    edit = ("edit", tmp_path / "run", flow, "--set", "own=*2", "--out", tmp_path)
    alone = isospan(*edit)
    assert "own: the edit fidelity is not measured" in alone.stdout
    assert "--quantity 'own=module:function'" in " ".join(alone.stderr.split())
    again = isospan(*edit, "--quantity", own, "--overwrite")
    assert "own: edit fidelity " in again.stdout
    assert "--quantity" not in again.stderr
