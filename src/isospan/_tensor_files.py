"""Tensors in one safetensors file with a JSON header that says what they are; nothing is pickled."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from isospan._files import atomic_path
from isospan.errors import FileFormatError

T = TypeVar("T")


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], *, kind: str, schema: int, **record: Any
) -> None:
    """Write tensors and a record of what JSON can hold; the file appears whole or not at all.

    Tensors are copied to the CPU, since safetensors refuses those that share memory.

    Args:
        path: of the file.
        tensors: by name.
        kind: what the file holds, asked for again when it is read.
        schema: version of its layout.
        record: further entries of the header.
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(copies, temporary, {"isospan": json.dumps({"kind": kind, "schema": schema} | record)})


def load_tensors(
    path: str | os.PathLike[str],
    parse: Callable[[dict[str, Any], dict[str, Tensor]], T],
    *,
    kind: str,
    schema: int,
    what: str,
    remedy: str,
) -> T:
    """Read what :func:`save_tensors` wrote, tensors on the CPU, and return ``parse(header, tensors)``.

    Args:
        path: of the file.
        parse: makes the result; a name that it misses makes the file unreadable.
        kind: that the file must hold.
        schema: that it must have.
        what: the file should be, and
        remedy: what to do where it is not, for the error.

    Raises:
        FileFormatError: the file is missing, truncated, of another program, or of another kind or schema.

    Example:
        >>> import tempfile, torch
        >>> path = tempfile.mkdtemp() + "/x.safetensors"
        >>> save_tensors(path, {"x": torch.ones(2)}, kind="example", schema=1, unit="m")
        >>> load_tensors(
        ...     path,
        ...     lambda header, tensors: (header["unit"], tensors["x"]),
        ...     kind="example",
        ...     schema=1,
        ...     what="an example",
        ...     remedy="Write it again.",
        ... )
        ('m', tensor([1., 1.]))
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["isospan"])
            _check_header(path, header, kind, schema)
            return parse(header, {name: file.get_tensor(name) for name in file.keys()})
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise FileFormatError(f"{path} is not {what} ({type(error).__name__}: {error}). {remedy}") from error


def _check_header(path: str | os.PathLike[str], header: Mapping[str, Any], kind: str, schema: int) -> None:
    if header.get("kind") != kind or header.get("schema") != schema:
        raise FileFormatError(
            f"{path} holds a {header.get('kind')!r} of schema {header.get('schema')}, expected a {kind!r} of schema "
            f"{schema}. Pass another file, or use the version of isospan that wrote it."
        )
