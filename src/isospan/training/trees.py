"""Nested state (dicts, lists, numbers, tensors) as one safetensors file with a JSON header; nothing is pickled."""

import json
import os
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from isospan._files import atomic_path
from isospan.errors import DtypeError, FileFormatError

HEADER = "isospan"


def save_tree(path: str | os.PathLike[str], tree: Any, *, kind: str) -> None:
    """Write a nested state; the file appears whole or not at all.

    Args:
        path: of the file.
        tree: dicts, lists and tuples of tensors, numbers, strings, booleans and None.
        kind: what the file holds, asked for again when it is read.

    Raises:
        DtypeError: something else is in the tree.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.safetensors"
        >>> save_tree(path, {"betas": (0.9, 0.99), 3: [None, "x"]}, kind="example")
        >>> load_tree(path, kind="example")
        {'betas': (0.9, 0.99), 3: [None, 'x']}
    """
    tensors: dict[str, Tensor] = {}
    header = {"kind": kind, "schema": 1, "tree": _pack(tree, tensors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {HEADER: json.dumps(header)})


def load_tree(path: str | os.PathLike[str], *, kind: str) -> Any:
    """Read what :func:`save_tree` wrote, tensors on the CPU.

    Raises:
        FileFormatError: the file is missing, truncated, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            _check_header(path, header, kind)
            return _unpack(header["tree"], file.get_tensor)
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise FileFormatError(
            f"{path} is not a readable {kind} ({type(error).__name__}: {error}). It is missing, truncated, or of "
            "another program: remove it and write it again."
        ) from error


def _pack(node: Any, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors by their key in ``tensors``, and everything by what JSON can hold."""
    if isinstance(node, Tensor):
        key = str(len(tensors))
        tensors[key] = node.detach().cpu().contiguous().clone()  # safetensors refuses tensors that share memory
        return {"tensor": key}
    if isinstance(node, Mapping):
        return {"dict": [[_pack(key, tensors), _pack(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {type(node).__name__: [_pack(value, tensors) for value in node]}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise DtypeError(f"A state holds tensors, numbers, strings, lists and dicts, got {type(node).__name__}.")


def _unpack(node: Any, tensor: Any) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensor(value)
    if kind == "dict":
        return {_unpack(key, tensor): _unpack(item, tensor) for key, item in value}
    items = [_unpack(item, tensor) for item in value]
    return tuple(items) if kind == "tuple" else items


def _check_header(path: str | os.PathLike[str], header: Mapping[str, Any], kind: str) -> None:
    if header.get("kind") != kind or header.get("schema") != 1:
        raise FileFormatError(
            f"{path} holds a {header.get('kind')!r} of schema {header.get('schema')}, expected a {kind!r} of schema 1. "
            "Pass another file, or use the version of isospan that wrote it."
        )
