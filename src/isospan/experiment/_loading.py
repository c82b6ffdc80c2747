"""Importing a function or class by its name as text, and finding that name."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from isospan.errors import OptionError


def load_object(reference: str) -> Any:
    """Return the object of ``module:name`` or ``path/to/file.py:name``, a name written by the user.

    The working directory is searched as well.

    Args:
        reference: the name. For a name that a file contains, use :func:`load_installed`.

    Raises:
        OptionError: the reference has another form, the module or name does not exist, or the import fails.

    Example:
        >>> load_object("math:sqrt")(4.0)
        2.0
    """
    return _found(reference, _import, remedy="Name an installed module, or a .py file.")


def load_installed(reference: str) -> Any:
    """Return the object of ``module:name`` in an installed module, for a name that a file contains.

    Importing runs code, so the caller must know that the user trusts the file. The file can only choose among installed
    modules: paths are refused, and the working directory is not searched even if ``sys.path`` has it, since it may hold
    files of the same origin.

    Raises:
        OptionError: the reference has another form, the module or name does not exist, or the import fails. The caller
            adds the remedy.

    Example:
        >>> load_installed("math:sqrt")(4.0)
        2.0
    """
    module_name, _, name = reference.rpartition(":")
    is_path = module_name.endswith(".py")
    if is_path or not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise OptionError(
            f"A name in a file must be module:name of an installed module, and not a path, got {reference!r}."
        )
    with _installed_modules_only():
        return _found(reference, importlib.import_module, remedy="Only installed modules are searched.")


def reference_to(thing: Any) -> str | None:
    """Return the ``module:name`` with which :func:`load_object` returns this object; None where it does not.

    Example:
        >>> import math
        >>> reference_to(math.sqrt), reference_to(lambda x: x)
        ('math:sqrt', None)
    """
    reference = f"{getattr(thing, '__module__', None)}:{getattr(thing, '__qualname__', None)}"
    try:
        return reference if load_object(reference) is thing else None
    except OptionError:
        return None


def public_names(module: ModuleType) -> list[str]:
    """Names that a module itself defines, without those that begin with an underscore."""
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted(name for name in defined if not name.startswith("_"))


def _found(reference: str, load: Callable[[str], ModuleType], *, remedy: str) -> Any:
    module_name, _, name = reference.rpartition(":")
    if not module_name or not name:
        raise OptionError(f"{reference!r} must have the form module:name or file.py:name, such as 'physics:vorticity'.")
    try:
        module = load(module_name)
    except Exception as error:  # a user's module can raise anything while it is imported
        raise OptionError(
            f"{module_name!r} of {reference!r} cannot be imported ({type(error).__name__}: {error}). {remedy}"
        ) from error
    if not hasattr(module, name):
        raise OptionError(f"{module_name!r} has no {name!r}. It has {', '.join(public_names(module)) or 'nothing'}.")
    return getattr(module, name)


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    with _working_directory_on_path():
        return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    directory = str(Path.cwd())
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


@contextmanager
def _installed_modules_only() -> Iterator[None]:
    """Remove the working directory from ``sys.path``, however it is written there."""
    before = list(sys.path)
    here = Path.cwd().resolve()
    sys.path[:] = [entry for entry in before if Path(entry).resolve() != here]
    try:
        yield
    finally:
        sys.path[:] = before
