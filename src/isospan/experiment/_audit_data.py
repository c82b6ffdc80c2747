"""Opening latents, and the quantities with the same rows, from files or arrays."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isospan._core.missing import Missing
from isospan.errors import DegenerateDataError, NameMismatchError, ShapeError
from isospan.experiment._names import check_quantity_names
from isospan.experiment._targets import ARRAY, Quantity
from isospan.experiment.readers import FieldArray, as_array, open_arrays


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of N samples.

    Attributes:
        rows: the latents (N, D).
        name: name of the array, and of its file.
        path: path of the file; None for an array.
    """

    rows: FieldArray
    name: str
    path: Path | None = None

    @property
    def dim(self) -> int:
        """D."""
        return self.rows.shape[1]


def open_latents(
    latents: Any, *, variable: str | None = None, sample_dim: str | int | None = None, fill: float | None = None
) -> Latents:
    """Open latents (N, D): an array, or the only matrix of a file.

    Raises:
        NameMismatchError: the file has no array ``variable``.
        ShapeError: the array is not a matrix, or the file has several matrices or none.

    Example:
        >>> import torch
        >>> open_latents(torch.zeros(10, 3)).dim
        3
    """
    if not _is_path(latents):
        return Latents(_matrix("latents", as_array("latents", latents, sample_dim=sample_dim, fill=fill)), "latents")
    path = Path(latents)
    arrays = open_arrays(path, sample_dim=sample_dim, fill=fill)
    name = variable or _only_matrix(path, arrays)
    if name not in arrays:
        raise NameMismatchError(f"{path} has {_listed(arrays)}, got variable={name!r}. Correct the name.")
    return Latents(_matrix(name, arrays[name]), path.name if path.stem == name else f"{name} of {path.name}", path)


def open_targets(
    targets: Any,
    latents: Latents,
    wanted: Mapping[str, str] | None = None,
    *,
    sample_dim: str | int | None = None,
    fill: float | None = None,
    missing: Missing = "raise",
) -> tuple[tuple[Quantity, ...], dict[str, FieldArray]]:
    """Open the quantities that have a row for each latent, and their arrays.

    Args:
        targets: a file, several files, or arrays by name.
        latents: the latents. In a file of quantities, they are not themselves a quantity.
        wanted: {name: array}, each of which may begin with ``array:``; where it is empty, the array has the name of the
            quantity. By default every array with N rows.
        sample_dim: the dimension of the samples.
        fill: replaces NaN and infinity.
        missing: ``"skip"`` lets NaN through.

    Raises:
        NameMismatchError: a wanted array does not exist, or the name of a quantity is not valid.
        ShapeError: a wanted array does not have N rows.
        DegenerateDataError: no array has N rows.

    Example:
        >>> import torch
        >>> latents = open_latents(torch.zeros(10, 3))
        >>> [quantity.name for quantity in open_targets({"heat": torch.zeros(10), "grid": torch.zeros(4)}, latents)[0]]
        ['heat']
    """
    arrays, n = _arrays(targets, sample_dim, fill), len(latents.rows)
    if latents.path is not None and latents.path.absolute() in _paths(targets):
        del arrays[latents.rows.name]
    matching = {name: array for name, array in arrays.items() if len(array) == n}
    wanted = dict.fromkeys(matching, "") if wanted is None else wanted
    wanted = {name: how.removeprefix(ARRAY) or name for name, how in wanted.items()}
    unknown = [array for array in wanted.values() if array not in arrays]
    if unknown:
        raise NameMismatchError(f"The arrays must be some of {_listed(arrays)}, got {unknown}. Correct the names.")
    short = [array for array in wanted.values() if array not in matching]
    if short or not wanted:
        error = ShapeError if short else DegenerateDataError
        raise error(
            f"A quantity must have one row for each of the {n} latents, got {_listed(arrays)}. Write it for the "
            "samples of the latents, or name their dimension as sample_dim."
        )
    check_quantity_names(wanted)
    quantities = tuple(Quantity(name, ARRAY + array, variable=array) for name, array in wanted.items())
    return quantities, {array: replace(matching[array], missing=missing) for array in wanted.values()}


def _arrays(targets: Any, sample_dim: str | int | None, fill: float | None) -> dict[str, FieldArray]:
    if _paths(targets):
        return open_arrays(targets, sample_dim=sample_dim, fill=fill)
    named = targets.data_vars if hasattr(targets, "data_vars") else targets  # of an xarray.Dataset
    if not isinstance(named, Mapping):
        raise NameMismatchError(f"Quantities must be files or a dict of arrays, got {type(targets).__name__}.")
    return {str(name): as_array(str(name), named[name], sample_dim=sample_dim, fill=fill) for name in named}


def _only_matrix(path: Path, arrays: Mapping[str, FieldArray]) -> str:
    matrices = [name for name, array in arrays.items() if len(array.shape) == 2]
    if len(matrices) != 1:
        raise ShapeError(
            f"Latents must be the only matrix (N, D) of {path}, got {_listed(arrays)}. Name one with variable=NAME, or "
            "write them as a matrix."
        )
    return matrices[0]


def _matrix(name: str, array: FieldArray) -> FieldArray:
    if len(array.shape) != 2 or 0 in array.shape:
        raise ShapeError(
            f"Latents must have shape (N, D), got {array.shape} of {name!r}. Tokens (N, T, D) become samples with "
            "z.reshape(-1, z.shape[-1]), with a row of each quantity for every token, or one latent with z.mean(1); a "
            "feature map becomes one latent with z.reshape(len(z), -1)."
        )
    return array


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _paths(targets: Any) -> list[Path]:
    listed = [targets] if _is_path(targets) else targets if isinstance(targets, Sequence) else []
    return [Path(path).absolute() for path in listed if _is_path(path)]


def _listed(arrays: Mapping[str, FieldArray]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no array of numbers"
