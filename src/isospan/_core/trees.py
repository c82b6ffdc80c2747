"""Nested state (dicts, lists, numbers, tensors) as one safetensors file with a JSON header; nothing is pickled."""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isospan._core.tensor_files import load_tensors, save_tensors
from isospan.errors import DtypeError

SCHEMA_VERSION = 1


def save_tree(path: str | os.PathLike[str], tree: Any, *, kind: str) -> None:
    """Write a nested state atomically.

    Args:
        path: of the file.
        tree: dicts, lists and tuples of tensors, numbers, strings, booleans and None.
        kind: kind of the content, which must be the same when the file is read.

    Raises:
        DtypeError: the tree contains something else.
        FileWriteError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.safetensors"
        >>> save_tree(path, {"betas": (0.9, 0.99), 3: [None, "x"]}, kind="example")
        >>> load_tree(path, kind="example")
        {'betas': (0.9, 0.99), 3: [None, 'x']}
    """
    tensors: dict[str, Tensor] = {}
    packed = _pack(tree, tensors)
    save_tensors(path, tensors, kind=kind, schema=SCHEMA_VERSION, tree=packed)


def load_tree(path: str | os.PathLike[str], *, kind: str) -> Any:
    """Read a file of :func:`save_tree`, with tensors on the CPU; the checksum is verified.

    Raises:
        FileFormatError: the file is missing, damaged, or of another kind.
    """
    return load_tensors(
        path,
        lambda header, tensors: _unpack(header["tree"], tensors.__getitem__),
        kind=kind,
        schema=SCHEMA_VERSION,
        what=f"a readable {kind}",
        remedy="It is missing, damaged, or of another program: remove it and write it again.",
    )


def _pack(node: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a tree that JSON can hold, with keys of ``tensors`` instead of tensors."""
    if isinstance(node, Tensor):
        key = str(len(tensors))
        tensors[key] = node
        return {"tensor": key}
    if isinstance(node, Mapping):
        return {"dict": [[_pack(key, tensors), _pack(value, tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return {"tuple" if isinstance(node, tuple) else "list": [_pack(value, tensors) for value in node]}
    if node is None or isinstance(node, (bool, int, float, str)):
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
