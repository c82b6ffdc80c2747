"""A run of several processes, started by torchrun, against the run of one."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from isospan._core.launch import own_device
from isospan.errors import OptionError
from isospan.experiment import train
from isospan.experiment._lock import run_lock

PROGRAM = Path(__file__).with_name("together.py")


def load_program():
    spec = spec_from_file_location("together", PROGRAM)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


together = load_program()


def torchrun(processes, *arguments, directory):
    """Run ``torchrun ARGUMENTS``; the processes have one thread each, and see no other network than the machine's."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "COLUMNS": "200"}
    return subprocess.run(
        [*command, *map(str, arguments)],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def weights(directory):
    return load_file(directory / "model.safetensors")


def check_close(got, expected):
    """To what float32 sums in another order become in a dozen steps of Adam."""
    for name, tensor in expected.items():
        atol = 1e-4 * float(tensor.abs().max())
        torch.testing.assert_close(got[name], tensor, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def check_same_losses(got, expected):
    """Those of every step, of which the first are NaN where there was no guidance yet."""
    assert got.keys() == expected.keys()
    for name, curve in expected.items():
        assert got[name] == pytest.approx(curve, rel=1e-4, abs=1e-6, nan_ok=True), name


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    directory = tmp_path_factory.mktemp("two")
    done = torchrun(2, PROGRAM, directory, directory=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, done.stdout


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    directory = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isospan.experiment.reports.write_report", lambda summary, out: Path(out) / "report.html")
        return directory, train(together.config(directory / "whole"), samples=together.fields())


def test_two_processes_train_the_network_of_one(one, two):
    directory, result = one
    check_close(weights(two[0] / "whole"), weights(directory / "whole"))
    metrics = json.loads((two[0] / "whole" / "metrics.json").read_text())
    assert metrics["nmse"] == pytest.approx({"guided": result.guided.nmse, "unguided": result.unguided.nmse}, rel=1e-4)
    assert metrics["guided"]["subspace_r2"] == pytest.approx(result.guided.evaluation.subspace_r2, abs=1e-3)


def test_one_of_them_speaks_and_writes(two):
    directory, said = two
    command, _, later = said.partition("The report is")  # every process prints what follows
    assert command.count("Training, guided") == command.count("held-out R²") == 1
    assert "The report is" not in later
    written = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("report.html"))
    assert written == ["whole/report.html"]
    assert not list(directory.rglob("*.tmp"))


def test_a_resumed_run_ends_with_the_same_bits(two):
    resumed, whole = weights(two[0] / "resumed"), weights(two[0] / "whole")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_every_process_has_the_losses_and_the_network_of_the_whole(two, tmp_path):
    ranks = [torch.load(two[0] / f"rank{rank}.pt") for rank in range(2)]
    alone = train(
        together.config(tmp_path / "custom", encoder=f"{PROGRAM}:Encoder", baseline=False), samples=together.fields()
    )
    for rank in ranks:
        check_same_losses(rank["losses"], alone.guided.history.losses)
    assert all(torch.equal(ranks[1]["model"][name], tensor) for name, tensor in ranks[0]["model"].items())


@pytest.fixture
def second_of_two(monkeypatch):
    """The environment of the second of two processes on a machine with two GPUs."""
    for name, value in {"RANK": 3, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "MASTER_ADDR": "a", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


@pytest.mark.usefixtures("second_of_two")
def test_each_process_has_the_gpu_of_its_own_number(monkeypatch):
    assert [own_device(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda:1", "cuda:1"]
    with pytest.raises(OptionError, match=r"device must be 'cuda' .* got 'cuda:0' in process 1 of this machine"):
        own_device("cuda:0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(
        OptionError, match=r"process 1 of this machine, counted from 0, sees only 1\. Start at most 1 there"
    ):
        own_device("cuda")
    monkeypatch.delenv("LOCAL_RANK")
    assert own_device("cpu") == "cpu"
    with pytest.raises(OptionError, match=r"LOCAL_RANK must be .* Start with torchrun, or set it"):
        own_device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert own_device("cuda:7") == "cuda:7"  # one process may have any


@pytest.mark.usefixtures("second_of_two")
def test_a_gpu_that_all_processes_would_share_is_refused(tmp_path):
    with pytest.raises(OptionError, match="device must be 'cuda' where several processes train"):
        train(together.config(tmp_path, device="cuda:0"), samples=together.fields())


def test_a_directory_in_which_another_run_writes_is_refused_once(tmp_path):
    with run_lock(tmp_path / "run"):
        done = torchrun(2, "-m", "isospan", *together.command(tmp_path / "run"), directory=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("another is writing to") == 1, done.stderr


def test_a_directory_that_cannot_be_made_ends_all_processes(tmp_path):
    (tmp_path / "file").touch()
    done = torchrun(2, "-m", "isospan", *together.command(tmp_path / "file"), directory=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("out must be a directory that can be created") == 1, done.stderr


@pytest.mark.slow
def test_the_demonstration_of_two_processes_gives_one_report(tmp_path):
    options = f"demo --out {tmp_path / 'run'} --epochs 1 --samples 40".split()
    done = torchrun(2, "-m", "isospan", *options, directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("The report is") == done.stdout.count("isospan decode") == 1
    assert {"report.html", "held_out.npz", "model.safetensors"} <= {path.name for path in (tmp_path / "run").iterdir()}


PHYSICS = """
import os
from isospan._core.launch import own_device
from isospan.errors import OptionError
calls = 0
def sometimes(x, **_):
    global calls
    calls += 1
    if calls > 12 and os.environ.get("RANK") == "1":
        raise {error}
    return x.mean((2, 3))
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OptionError('No such thing here.')", "Error on rank 1: Quantity 's': No such thing here."),
        pytest.param("ZeroDivisionError('in my code')", "ZeroDivisionError: in my code", marks=pytest.mark.slow),
    ],
)
def test_an_error_in_one_process_ends_all_and_is_told_once(tmp_path, error, said):
    (tmp_path / "physics.py").write_text(PHYSICS.format(error=error))
    arguments = together.command(tmp_path / "run", "-q", "s=physics.py:sometimes", "--no-baseline")
    done = torchrun(2, "-m", "isospan", *arguments, directory=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count(said) == 1, done.stderr
    assert "onnection closed" not in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_four_processes_of_which_some_have_no_samples_resume_the_run_of_two(one, two, tmp_path):
    done = torchrun(2, PROGRAM, tmp_path, "interrupt", directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = torchrun(4, PROGRAM, tmp_path, "resume", directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Training, guided, resuming after epoch 1") == 4
    check_close(weights(tmp_path / "run"), weights(one[0] / "whole"))
