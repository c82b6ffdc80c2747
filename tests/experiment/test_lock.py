"""A second run in a directory is refused, and one that was killed is in nobody's way."""

import subprocess
import sys

import pytest
import torch

from isospan.errors import OptionError
from isospan.experiment import TrainConfig, train
from isospan.experiment.lock import only_run

HOLDS = """
import sys, time
from isospan.experiment.lock import only_run
with only_run(sys.argv[1]):
    print("held", flush=True)
    time.sleep(100)
"""


def test_of_two_runs_in_a_directory_the_second_is_refused_and_changes_nothing(tmp_path):
    with only_run(tmp_path):
        with pytest.raises(OptionError, match=f"another is writing to {tmp_path}"):
            train(TrainConfig(quantities={"local_mean": ""}, out=tmp_path), samples=torch.randn(16, 1, 4, 4))
        with only_run(tmp_path / "other"):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "other"}
    with only_run(tmp_path):
        pass


def test_a_run_that_was_killed_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OptionError, match="another is writing"), only_run(tmp_path):
            pass
        other.kill()
    with only_run(tmp_path):
        pass


def test_where_there_are_no_locks_the_run_goes_on(tmp_path, monkeypatch, caplog):
    def flock(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with only_run(tmp_path):
        pass
    assert "cannot be locked ([Errno 38] Function not implemented): start no other run" in caplog.text
