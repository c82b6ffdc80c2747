"""The benchmarks, which only ``make bench`` and studies run, can be imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_benchmarks_import_what_there_is():
    paths = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "benchmarks").rglob("*.py"))
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]
    assert "benchmarks.guided_recipe.sets" in modules
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
