"""Training that is killed at any twenty moments ends, bit for bit, as if nobody had killed it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from .strategies import seeds

PROGRAM = Path(__file__).parents[1] / "experiment" / "training" / "killed_runs.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@settings(max_examples=2, phases=[Phase.generate])
@given(seeds)
def test_twenty_kills(tmp_path_factory, seed):
    command = [sys.executable, PROGRAM, "random", tmp_path_factory.mktemp("run"), str(seed), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
