"""Writing decoded and edited fields in the format that their input had."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isospan._files import atomic_path
from isospan.experiment.config import PathLike
from isospan.experiment.summary import as_images
from isospan.experiment.use import Edited
from isospan.guided.sizing import ThresholdSweep
from isospan.reports import EditExample
from isospan.reports.export import to_png
from isospan.reports.figures import edit_panel, threshold_sweep

NETCDF = (".nc", ".nc4", ".netcdf")


def decoded_path(directory: PathLike, files: Sequence[PathLike]) -> Path:
    """Where decoded quantities go when nobody says: beside the run, as NetCDF if that is what came in.

    Example:
        >>> decoded_path("run", ["data/a.nc", "data/b.nc"]).as_posix(), decoded_path("run", ["c.npz"]).as_posix()
        ('run/decoded-a.nc', 'run/decoded-c.npz')
    """
    suffix = ".nc" if all(Path(file).suffix in NETCDF for file in files) else ".npz"
    return Path(directory) / f"decoded-{Path(files[0]).stem}{suffix}"


def write_decoded(path: PathLike, decoded: Mapping[str, np.ndarray], files: Sequence[PathLike] = ()) -> Path:
    """Write quantities as ``.nc`` or ``.npz``; NetCDF keeps the dimension that counts samples, with its coordinate."""
    path = Path(path)
    with atomic_path(path) as temporary:
        if path.suffix in NETCDF:
            _dataset(decoded, files).to_netcdf(temporary)
        else:
            _save(temporary, decoded)
    return path


def write_edited(directory: PathLike, edited: Edited, *, name: str = "edited") -> list[Path]:
    """Write the fields, latents and quantities as ``.npz``, and an image of the first sample for each quantity set."""
    directory = Path(directory)
    arrays = {"fields": edited.after, "fields_before": edited.before, "latents": edited.latents}
    arrays |= {f"read_{key}": y for key, y in edited.read_after.items()}
    written = [directory / f"{name}.npz"]
    with atomic_path(written[0]) as temporary:
        _save(temporary, {key: values.detach().cpu().numpy() for key, values in arrays.items()})
    for quantity in edited.targets:
        written.append(directory / f"{name}-{quantity}.png")
        with atomic_path(written[-1]) as temporary:
            temporary.write_bytes(to_png(edit_panel(_example(edited, quantity))))
    return written


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _example(edited: Edited, name: str) -> EditExample:
    readings = (edited.targets[name], edited.read_before[name], edited.read_after[name])
    target, before, after = (as_images(y.detach().cpu())[0] for y in readings)
    return EditExample(name, edited.before[0, 0], edited.after[0, 0], target, before, after)


def _dataset(decoded: Mapping[str, np.ndarray], files: Sequence[PathLike]) -> Any:
    import xarray

    samples = _sample_coordinate(files, len(next(iter(decoded.values()))))
    variables = {}
    for name, values in decoded.items():
        axes = [f"{name}_channel", f"{name}_y", f"{name}_x"][-(values.ndim - 1) :] if values.ndim > 1 else []
        variables[name] = ((samples.dims[0], *axes), values)
    return xarray.Dataset(variables, coords={samples.dims[0]: samples})


def _sample_coordinate(files: Sequence[PathLike], count: int) -> Any:
    """The coordinate of the first dimension of the fields, over all files; sample numbers where there is none."""
    import xarray

    parts = []
    for file in files:
        with xarray.open_dataset(file, decode_times=False, decode_coords="all") as dataset:
            fields = max(dataset.data_vars.values(), key=lambda array: array.ndim)
            parts.append(fields[fields.dims[0]].load())
    joined = xarray.concat(parts, parts[0].dims[0]) if parts else None
    if joined is None or joined.sizes[joined.dims[0]] != count:
        return xarray.DataArray(torch.arange(count).numpy(), dims=["sample"])
    return joined.drop_vars([name for name in joined.coords if name != joined.name])


def write_sweep(path: PathLike, sweep: ThresholdSweep) -> Path:
    """Write the heat map of a sweep of thresholds as PNG."""
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_png(threshold_sweep(sweep)))
    return path
