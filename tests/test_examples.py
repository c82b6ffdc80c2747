"""Every script in examples/ runs to its end, on a small cut of its data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The compiler of torch hides this warning of its own, but cannot where warnings are errors.
# The decoders of short runs hardly follow edits.
STRICT = [
    *("-W", "error::UserWarning"),
    *("-W", "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    *("-W", "ignore:The decoded output shows:UserWarning"),
]
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    environment = os.environ | {"ISOSPAN_QUICK": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *STRICT, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples() -> None:
    assert EXAMPLES
