"""What holds for the package as a whole: importing is light, and its tables of contents are right."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import isospan

MODULES = [module.name for module in pkgutil.walk_packages(isospan.__path__, "isospan.")]
HEAVY = ("matplotlib", "typer", "rich", "jinja2", "xarray", "dask", "netCDF4", "h5netcdf", "zarr", "pandas", "scipy")
HEAVY += ("lightning", "torchmetrics", "transformers", "accelerate")


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement, beyond those of torch."""
    program = f"import sys, torch\nbefore = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "statement",
    ["import isospan", "import isospan.guided", "import isospan.training, isospan.datasets", "import isospan.groups"],
)
def test_importing_loads_nothing_that_only_some_users_need(statement: str) -> None:
    assert not loaded_by(statement) & set(HEAVY)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_lists_it_has(name: str) -> None:
    module = importlib.import_module(name)
    listed = list(getattr(module, "__all__", []))
    assert len(listed) == len(set(listed))
    assert all(hasattr(module, entry) for entry in listed)
    assert module.__doc__


def test_the_version_is_that_of_the_installed_package() -> None:
    assert isospan.__version__ == version("isospan")


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(isospan.__file__).parent / "py.typed").exists()
