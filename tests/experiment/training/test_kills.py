"""A run that is killed, at random moments or in the middle of a write, ends with the weights of one that is not."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from isospan.integrations import load_tree

PROGRAM = Path(__file__).with_name("killed_runs.py")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")


def run(*arguments):
    done = subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_that_is_killed_at_random_moments(tmp_path):
    run("random", tmp_path, 0, 12)


def test_a_run_that_is_killed_in_each_part_of_a_write(tmp_path):
    run("writes", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_that_is_killed_at_several_hundred_random_moments(tmp_path, seed):
    run("random", tmp_path, seed, 200)


@pytest.mark.slow
def test_a_program_that_is_killed_and_started_again(tmp_path):
    started = time.perf_counter()
    run("train", tmp_path / "expected")
    whole, moments, kills, runs = time.perf_counter() - started, random.Random(0), 0, 0
    while kills < 3:  # a run may be done sooner than the first one, which had less of the machine
        name, longest, runs = f"killed-{runs}", whole, runs + 1
        while True:
            with subprocess.Popen([sys.executable, PROGRAM, "train", tmp_path / name]) as program:
                time.sleep(moments.uniform(0.5, 1.0) * longest)
                program.kill()
            if program.returncode == 0:
                break
            assert program.returncode == -signal.SIGKILL
            kills, longest = kills + 1, 1.02 * longest
        ours, theirs = (load_tree(tmp_path / run / "result", kind="result") for run in (name, "expected"))
        assert ours["task"] == theirs["task"]
        assert all(torch.equal(ours["model"][part], tensor) for part, tensor in theirs["model"].items())
