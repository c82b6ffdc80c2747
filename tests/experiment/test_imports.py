"""What using a run need not load."""

import subprocess
import sys


def test_nothing_that_draws_is_loaded_before_something_is_drawn():
    code = (
        "import sys, isospan.experiment, isospan.experiment.outputs; "
        "print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
