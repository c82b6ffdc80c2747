"""Tensors in what a module returns: a tensor itself, or tuples, lists, dicts and dataclasses of tensors."""

import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

KeyPath = tuple[Any, ...]
"""Keys, indices and names of fields from the output of a module down to a tensor."""


def tensors_in(output: Any, path: KeyPath = ()) -> list[tuple[KeyPath, Tensor]]:
    """Return each tensor with its key path.

    Example:
        >>> [path for path, _ in tensors_in({"hidden": torch.ones(2, 3, 8), "weights": [torch.ones(2, 3, 3), None]})]
        [('hidden',), ('weights', 0)]
    """
    if isinstance(output, Tensor):
        return [(path, output)]
    return [found for key, child in _children(output) for found in tensors_in(child, (*path, key))]


def are_latents(tensor: Tensor, latent_dim: int) -> bool:
    """Whether a tensor is dense, floating point, and has D as its last dimension."""
    dense = tensor.layout is torch.strided and tensor.is_floating_point()
    return dense and tensor.shape[-1:] == (latent_dim,)


def replaced(output: Any, old: Tensor, new: Tensor) -> Any:
    """Return the output with another tensor wherever ``old`` is; containers on the way are copied.

    Example:
        >>> old = torch.zeros(2)
        >>> replaced((old, [old, None]), old, torch.ones(2))
        (tensor([1., 1.]), [tensor([1., 1.]), None])
    """
    if output is old:
        return new
    if isinstance(output, Tensor):
        return output
    changed = {}
    for key, child in _children(output):
        other = replaced(child, old, new)
        if other is not child:
            changed[key] = other
    return _with_items(output, changed) if changed else output


def _children(node: Any) -> list[tuple[Any, Any]]:
    """Items of a container. Outputs of transformers are dicts and dataclasses; the dict leaves out what is None."""
    if isinstance(node, Mapping):
        return list(node.items())
    if isinstance(node, (tuple, list)):
        return list(enumerate(node))
    if is_dataclass(node) and not isinstance(node, type):
        return [(field.name, getattr(node, field.name)) for field in fields(node)]
    return []


def _with_items(node: Any, changed: dict[Any, Any]) -> Any:
    """Return a copy of a container with other items."""
    if isinstance(node, (tuple, list)):
        items = [changed.get(i, item) for i, item in enumerate(node)]
        make = getattr(type(node), "_make", type(node))  # of a named tuple
        return make(items)
    if isinstance(node, Mapping) and not isinstance(node, MutableMapping):
        return type(node)({**node, **changed})  # type: ignore[call-arg]
    other = copy.copy(node)
    for key, item in changed.items():
        if isinstance(other, MutableMapping):
            other[key] = item
        else:
            object.__setattr__(other, key, item)  # also of a frozen dataclass
    return other
