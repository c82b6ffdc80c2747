"""Packages whose files import in one direction: no import hides in a function or behind TYPE_CHECKING."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import isospan

ROOT = Path(isospan.__file__).parent
ONE_WAY = ("groups", "representations")
"""Packages that keep the rule."""

NOT_YET = {
    "guided": 14,
    "nn": 5,
}
"""How many names a package imports at most from private modules of another. A number only ever gets smaller."""


def hidden_imports(tree: ast.AST) -> Iterator[str]:
    """Imports of isospan that are not statements of the module itself."""
    top = {id(node) for node in getattr(tree, "body", ())}
    for node in ast.walk(tree):
        names = [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        relative = isinstance(node, ast.ImportFrom) and node.level > 0
        if id(node) not in top and (relative or any(name.partition(".")[0] == "isospan" for name in names)):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    from isospan.groups import SO3",
        "def f():\n    import isospan.nn as nn",
        "def f():\n    from . import g",
        "if TYPE_CHECKING:\n    from isospan.groups import SO3",
        "try:\n    from isospan.groups import SO3\nexcept ImportError:\n    pass",
    ],
)
def test_a_hidden_import_is_found(source: str) -> None:
    assert len(list(hidden_imports(ast.parse(source)))) == 1


def test_an_import_of_the_module_or_of_others_is_not_hidden() -> None:
    source = "from isospan.groups import SO3\ndef f():\n    import matplotlib\n    from isospanner import g"
    assert not list(hidden_imports(ast.parse(source)))


@pytest.mark.parametrize("package", ONE_WAY)
def test_no_import_is_hidden(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    found = {file.name: list(hidden_imports(ast.parse(file.read_text()))) for file in files}
    assert files
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize("package", ONE_WAY)
def test_completion_shows_the_api_only(package: str) -> None:
    module = importlib.import_module(f"isospan.{package}")
    assert sorted(name for name in dir(module) if not name.startswith("_")) == sorted(module.__all__)


@pytest.mark.parametrize("package", ONE_WAY)
def test_the_reference_lists_the_api(package: str) -> None:
    page = (ROOT.parents[1] / "docs" / "api" / f"{package}.rst").read_text()
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(importlib.import_module(f"isospan.{package}").__all__)


def names_of_private_modules(module: str, tree: ast.AST) -> Iterator[str]:
    """Names imported from private modules of other packages. All use ``_core``, and models the base of nn."""
    own = module.split(".")[1]
    for node in ast.walk(tree):
        imported = (
            [(node.module or "", alias.name) for alias in getattr(node, "names", ()) if alias.name != "*"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        imported += [(alias.name, "") for alias in node.names] if isinstance(node, ast.Import) else []
        for source, name in imported:
            root, _, rest = f"{source}.{name}".partition(".")
            package, *below = rest.split(".")
            is_private = any(part.startswith("_") and not part.startswith("__") for part in below)
            is_shared = package in (own, "_core") or [own, package, *below[:1]] == ["models", "nn", "_base"]
            if root == "isospan" and is_private and not is_shared:
                yield f"{module}: {source} {name}"


def test_a_name_of_a_private_module_is_found() -> None:
    found = """
from isospan.linalg._bases import fix_signs, nested_frame
from isospan.plotting import _style
import isospan.nn._base.cost
def f():
    from isospan.guided.losses._whole import of
"""
    open_to_all = """
from isospan import __version__
from isospan.subspaces._solve import solve
from isospan._core.checks import check_flag
"""
    assert len(list(names_of_private_modules("isospan.subspaces._x", ast.parse(found)))) == 5
    assert not list(names_of_private_modules("isospan.subspaces._x", ast.parse(open_to_all)))


@pytest.mark.parametrize("package", sorted(path.stem for path in ROOT.iterdir() if path.suffix in ("", ".py")))
def test_no_package_uses_private_modules_of_another(package: str) -> None:
    files = sorted([*(ROOT / package).rglob("*.py"), *ROOT.glob(f"{package}.py")])
    modules = {file: f"isospan.{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}" for file in files}
    found = [
        line
        for file, module in modules.items()
        for line in names_of_private_modules(module, ast.parse(file.read_text()))
    ]
    assert len(found) <= NOT_YET.get(package, 0), "\n".join(found)


def test_no_type_union_is_passed_to_isinstance() -> None:
    """The compiler of the oldest torch that is allowed cannot trace ``isinstance(x, A | B)``; a tuple it can."""
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "isinstance"
        and isinstance(node.args[1], ast.BinOp)
    ]
    assert not found
