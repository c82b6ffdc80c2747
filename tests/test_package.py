"""What holds for the package as a whole: importing is light, and its tables of contents are right."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import isospan

ROOT = Path(__file__).parents[1]
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
    [
        "import isospan",
        "import isospan.guided",
        "import isospan.experiment, isospan.integrations, isospan.datasets",
        "import isospan.groups",
    ],
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


def test_the_lowest_releases_that_are_tested_are_those_that_are_allowed() -> None:
    """constraints-oldest.txt, which ``make test-oldest`` installs, pins every lower bound of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [Requirement(line) for line in project["dependencies"] + extras["fields"]]
    others = [Requirement(line) for line in extras["test"] if "isospan" not in line]
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pins = {pin.name: pin for pin in map(Requirement, (line for line in lines if not line.startswith("#")))}
    assert {pin.name for pin in required} <= set(pins)
    bounds = {r.name: [Version(s.version) for s in r.specifier if s.operator == ">="] for r in required + others}
    assert {name: [Version(s.version) for s in pin.specifier] for name, pin in pins.items()} == {
        name: bounds[name] for name in pins
    }
    assert all(s.operator == "==" for pin in pins.values() for s in pin.specifier)


PACKAGES = ["isospan", *(m.name for m in pkgutil.walk_packages(isospan.__path__, "isospan.") if m.ispkg)]
PUBLIC_MODULES = {
    "isospan": {"errors", "settings", "testing"},
    "isospan.experiment": {"outputs"},
    "isospan.integrations": {"lightning", "transformers"},  # which import what only some have installed
    "isospan.compat.spacelearn": {"data", "loss", "optim", "settings", "util"},
    "isospan.compat.symm_learning": {"linalg"},
}


@pytest.mark.parametrize("name", [name for name in PACKAGES if "._" not in name])
def test_dir_of_a_package_shows_its_api_and_nothing_else(name: str) -> None:
    package = importlib.import_module(name)
    below = [module for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    modules = {module.name for module in below if not module.ispkg}
    assert modules <= PUBLIC_MODULES.get(name, set())
    shown = {entry for entry in dir(package) if not entry.startswith("_")}
    assert shown <= {*getattr(package, "__all__", []), *(module.name for module in below)}


@pytest.mark.parametrize(
    "name", [f"{package}.{name}" for package, names in PUBLIC_MODULES.items() for name in sorted(names)]
)
def test_dir_of_a_module_shows_its_api_and_nothing_else(name: str) -> None:
    """What it lists; errors, which imports nothing, lists nothing, and all its names are its own."""
    module = importlib.import_module(name)
    own = [entry for entry, value in vars(module).items() if getattr(value, "__module__", "") == name]
    assert {entry for entry in dir(module) if not entry.startswith("_")} == set(getattr(module, "__all__", own))


def test_the_subpackages_and_names_of_both_halves_need_no_further_import() -> None:
    """A fresh interpreter, where nothing else has imported the subpackages."""
    program = """
import isospan as iso
iso.nn.Linear, iso.groups.SO3, iso.guided.SpaceObjective, iso.symmetric.lstsq, iso.experiment.train
print(len([name for name in iso.__all__ if not hasattr(getattr(iso, name), "__path__")]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 20 <= int(done.stdout) <= 35


def parts(layers: list[str]) -> list[str]:
    """The modules of some layers of import-linter, without the parentheses of what may be missing."""
    return [part.strip(" ()") for layer in layers for part in layer.split(":")]


def test_architecture_and_contributing_list_the_packages_that_there_are() -> None:
    """Both in the order of the imports, which import-linter checks: one from the top down, the other from below."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(parts(contract["layers"]) for contract in contracts if contract["containers"] == ["isospan"])
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    where = (ROOT / "CONTRIBUTING.md").read_text().split("## Where things live")[1]
    arrows = re.search(r"`\w+` →[^.]*?(?=\n\n)", where)
    there = [module.name for module in pkgutil.iter_modules(isospan.__path__)]
    assert sorted(table) == sorted(there)
    assert table == layers
    assert arrows
    assert re.findall(r"`(\w+)`", arrows.group())[::-1] == layers


def test_the_citation_names_the_version() -> None:
    assert f"\nversion: {isospan.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_workflow_tests_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    matrix = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/test.yml").read_text())
    assert matrix
    assert re.findall(r"3\.\d+", matrix[1]) == named
