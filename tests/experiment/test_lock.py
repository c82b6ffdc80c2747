"""A second run in a directory is refused, and one that was killed is in nobody's way."""

import subprocess
import sys

import pytest
import torch

from isospan.errors import FileFormatError, OptionError
from isospan.experiment import TrainConfig, train
from isospan.experiment._lock import run_lock

HOLDS = """
import sys, time
from isospan.experiment._lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(100)
"""


def test_of_two_runs_in_a_directory_the_second_is_refused_and_changes_nothing(tmp_path):
    with run_lock(tmp_path):
        with pytest.raises(OptionError, match=f"another is writing to {tmp_path}"):
            train(TrainConfig(quantities={"local_mean": ""}, out=tmp_path), samples=torch.randn(16, 1, 4, 4))
        with run_lock(tmp_path / "other"):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "other"}
    with run_lock(tmp_path):
        pass


def test_a_run_that_was_killed_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OptionError, match="another is writing"), run_lock(tmp_path):
            pass
        other.kill()
    with run_lock(tmp_path):
        pass


def test_where_there_are_no_locks_the_run_goes_on(tmp_path, monkeypatch, caplog):
    def flock(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with run_lock(tmp_path):
        pass
    assert "cannot be locked ([Errno 38] Function not implemented). Do not start another run" in caplog.text


def test_where_the_system_has_no_locks_the_run_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("isospan.experiment._lock.fcntl", None)  # as on Windows
    with run_lock(tmp_path):
        pass
    assert "cannot be locked (the operating system has no fcntl). Do not start another run" in caplog.text


def test_data_that_cannot_be_used_leave_no_directory_behind(tmp_path):
    with pytest.raises(FileFormatError):
        train(TrainConfig(quantities={"local_mean": ""}, files=[tmp_path / "none.npz"], out=tmp_path / "new"))
    with pytest.raises(OptionError):
        train(TrainConfig(quantities={"no_such": ""}, out=tmp_path / "new"), samples=torch.randn(16, 1, 4, 4))
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OptionError, match=r"out must be a directory .* got .*file \(.*File exists.*\)\. Choose another"),
        run_lock(tmp_path / "file"),
    ):
        pass
