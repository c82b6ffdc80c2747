"""``import isospan`` and its first use add little to ``import torch``."""

import subprocess
import sys

PROGRAM = """
import torch, time
start = time.thread_time()
import isospan
isospan.SpaceObjective
print(time.thread_time() - start)
"""


def test_import_adds_at_most_150_milliseconds_to_that_of_torch():
    """Processor seconds of the best of three fresh interpreters, so that a busy machine does not count."""
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    assert min(float(run.stdout) for run in runs) < 0.15
