"""Tensors in a safetensors file with a JSON header; nothing is pickled."""

import json
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from isospan._core.files import atomic_path, explained
from isospan.errors import FileFormatError

T = TypeVar("T")


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], *, kind: str, schema: int, **record: Any
) -> None:
    """Write tensors and a JSON record atomically.

    Tensors are copied to the CPU, since safetensors refuses those that share memory. The file also has a
    checksum of the record and of the names, dtypes, shapes and values of the tensors.

    Args:
        path: of the file.
        tensors: by name.
        kind: kind of the content, which must be the same when the file is read.
        schema: version of its layout.
        record: further entries of the header.

    Raises:
        FileWriteError: the file cannot be written, such as on a full disk.
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = json.dumps({"kind": kind, "schema": schema} | record)
    metadata = {"isospan": header, "checksum": _checksum(header, copies)}
    with atomic_path(path) as temporary:
        try:
            save_file(copies, temporary, metadata)
        except SafetensorError as error:  # safetensors wraps an OSError in its own
            raise OSError(str(error)) from error


def load_tensors(
    path: str | os.PathLike[str],
    parse: Callable[[dict[str, Any], dict[str, Tensor]], T],
    *,
    kind: str,
    schema: int,
    oldest: int | None = None,
    what: str,
    remedy: str,
) -> T:
    """Read a file of :func:`save_tensors` and return ``parse(header, tensors)``, with tensors on the CPU.

    The checksum is verified. A file of an earlier version, without a checksum, is read too.

    Args:
        path: of the file.
        parse: makes the result; an exception counts as a damaged file.
        kind: required kind of the content.
        schema: newest version of the layout that is read.
        oldest: oldest version that is read, by default the newest.
        what: name of the content in the error.
        remedy: last sentence of the error.

    Raises:
        FileFormatError: the file is missing, damaged, of another program, or of another kind or schema.

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
    with explained(path, what=f"is not {what}", remedy=remedy), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        text = metadata["isospan"]
        header = json.loads(text)
        found, schemas = (header.get("kind"), header.get("schema")), range(oldest or schema, schema + 1)
        if found[0] != kind or found[1] not in schemas:  # checked first: a later schema may have another checksum
            raise FileFormatError(
                f"{path} holds a {found[0]!r} of schema {found[1]}, expected a {kind!r} of schema "
                f"{' or '.join(map(str, schemas))}. Pass another file, or use the version of isospan that wrote it."
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        stored = metadata.get("checksum")
        if stored is not None and stored != _checksum(text, tensors):
            raise FileFormatError(f"{path} is damaged: its content does not have the checksum in it. {remedy}")
        return parse(header, tensors)


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = blake2b(header.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
