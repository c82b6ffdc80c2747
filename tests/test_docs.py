"""The API pages, as built by `make docs-check`: every public name has one place, under a path that can be imported."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import isospan

sphinx_inventory = pytest.importorskip("sphinx.util.inventory", reason="sphinx is no part of the oldest releases")

DOCS = Path(__file__).parents[1] / "docs"
INVENTORY = DOCS / "_build" / "check" / "objects.inv"
pytestmark = pytest.mark.skipif(not INVENTORY.exists(), reason="`make docs-check` builds what these tests read")
PUBLIC = [
    "isospan",
    *(
        module.name
        for module in pkgutil.walk_packages(isospan.__path__, "isospan.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ),
]


@pytest.fixture(scope="module")
def described() -> dict[str, str]:
    """The page of each path that the API pages describe."""
    data = sphinx_inventory.InventoryFile.loads(INVENTORY.read_bytes(), uri="").data
    python = [items for kind, items in data.items() if kind.startswith("py:")]
    return {name: item.uri.partition("#")[0] for items in python for name, item in items.items()}


def value_of(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def identity(value: object) -> str | int:
    """Where a class or function is defined; one under other argument names is that which it calls."""
    defined = inspect.isclass(value) or inspect.isfunction(value)
    return f"{value.__module__}.{value.__qualname__}" if defined else id(value)


def names_of(module_name: str) -> list[str]:
    """The public names of a module: those that it lists, else the classes and functions that it defines."""
    module = importlib.import_module(module_name)
    own = [n for n, value in vars(module).items() if not n.startswith("_") and identity(value) == f"{module_name}.{n}"]
    listed = getattr(module, "__all__", own)
    return [name for name in listed if not inspect.ismodule(getattr(module, name))]


def places(described: dict[str, str]) -> dict[str | int, list[str]]:
    """The paths under which the API pages describe a value of a public module."""
    found = {}
    for path in described:
        if path.rpartition(".")[0] in PUBLIC and path not in PUBLIC:
            found.setdefault(identity(value_of(path)), []).append(path)
    return found


def test_every_public_module_has_one_api_page(described: dict[str, str]) -> None:
    assert {path for path in described if path in PUBLIC} == set(PUBLIC)


def test_every_public_name_is_described_once(described: dict[str, str]) -> None:
    """Under its own path, or under that of the same object, with the name on the page of its module."""
    paths = places(described)
    for module in PUBLIC:
        page = (DOCS / described[module]).with_suffix(".rst").read_text(encoding="utf-8")
        for name in names_of(module):
            value = identity(value_of(f"{module}.{name}"))
            assert len(paths.get(value, [])) == 1, f"{module}.{name} is described as {paths.get(value, [])}"
            assert paths[value] == [f"{module}.{name}"] or re.search(rf"\b{name}\b", page)


def test_pages_show_no_path_that_is_private(described: dict[str, str]) -> None:
    shown = {
        path.name: re.findall(r"isospan\.[\w.]*\._\w+", path.read_text()) for path in INVENTORY.parent.rglob("*.html")
    }
    assert len(shown) > 20
    assert not {page: paths for page, paths in shown.items() if paths}
