"""A cache on disk for generated data."""

import inspect
import json
import logging
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._core.files import atomic_path, explained
from isospan._core.numpy_files import open_npz
from isospan.errors import FileFormatError, FileWriteError, OptionError

logger = logging.getLogger("isospan")

DATA_VERSION = 1
"""Part of every key. Raise it when a generator of this package returns other data for the same parameters."""


def cached(
    generate: Callable[..., Tensor],
    *args: Any,
    version: int = DATA_VERSION,
    folder: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Tensor:
    """Return ``generate(*args, **kwargs)``, from the file of an earlier call if it exists.

    The file name is a hash of the name of the function, all its parameters (defaults included) and the version. Files
    are written atomically, so several processes may call this at once. A damaged file is replaced, and a warning is
    logged. A warning is also logged where the folder cannot be written to; then the data are only returned.

    Args:
        generate: A deterministic function of numbers, strings and tuples of them that returns one tensor.
        *args: Its arguments.
        version: Part of the key: raise it when `generate` changes.
        folder: Folder of the files, by default :func:`cache_folder`.
        **kwargs: Its keyword arguments. ``progress`` is passed on, but is not part of the key.

    Returns:
        The tensor.

    Raises:
        OptionError: A parameter is not a number, str, None, or a tuple, list or dict of these.

    Example:
        >>> import tempfile
        >>> from isospan.datasets import cahn_hilliard
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     once, again = (cached(cahn_hilliard, 2, size=8, folder=folder) for _ in range(2))
        >>> torch.equal(once, again)
        True
    """
    key = _key(generate, args, kwargs, version)
    path = Path(folder or cache_folder()) / f"{generate.__name__}-{sha256(key.encode()).hexdigest()[:16]}.npz"
    if (tensor := _read(path, key)) is not None:
        return tensor
    tensor = generate(*args, **kwargs)
    _write(path, key, tensor)
    return tensor


def cache_folder() -> Path:
    """Return the folder of generated data.

    It is ``$ISOSPAN_CACHE``, else ``$XDG_CACHE_HOME/isospan``, else ``~/.cache/isospan``.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    if own := os.environ.get("ISOSPAN_CACHE"):
        return Path(own).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = xdg if xdg.is_absolute() else Path.home() / ".cache"  # the XDG specification ignores relative paths
    return base / "isospan"


def _key(generate: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any], version: int) -> str:
    bound = inspect.signature(generate).bind(*args, **kwargs)
    bound.apply_defaults()
    parameters = {name: value for name, value in bound.arguments.items() if name != "progress"}
    name = f"{generate.__module__}.{generate.__qualname__}"
    try:
        return json.dumps({"function": name, "parameters": parameters, "version": version}, sort_keys=True)
    except TypeError as error:
        raise OptionError(
            f"The parameters of a cached function must be numbers, strings and tuples of them, got {parameters} for "
            f"{name}. Wrap the function in one with such parameters."
        ) from error


def _read(path: Path, key: str) -> Tensor | None:
    """Return the tensor of the file, or None if it is missing, damaged, or of another key."""
    if not path.exists():
        return None
    try:
        with explained(path, remedy="The data are generated again."):
            arrays = open_npz(path)
            if str(arrays["key"].values) != key:
                raise ValueError("it was written for another call")
            return torch.from_numpy(np.array(arrays["tensor"].values))
    except FileFormatError as error:
        logger.warning("The cached data are damaged: %s", error)
        return None


def _write(path: Path, key: str, tensor: Tensor) -> None:
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, key=np.array(key), tensor=tensor.numpy(force=True))
    except FileWriteError as error:
        logger.warning("The data could not be cached: %s Or set ISOSPAN_CACHE to another folder.", error)
