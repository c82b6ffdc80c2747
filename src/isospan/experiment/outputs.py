"""Files of results: their paths, and writers of decoded quantities, edited fields and heat maps of sizes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize
from zipfile import ZipFile

import numpy as np

from isospan._core.files import PathLike, atomic_path
from isospan.errors import OptionError
from isospan.experiment._edits import Edited
from isospan.experiment._job import checkpoints_in
from isospan.experiment._names import apart, file_name, netcdf_name, npz_name
from isospan.sizing import ThresholdSweep

__all__ = [
    "audit_paths",
    "check_suffix",
    "checkpoints_in",
    "default_path",
    "edited_paths",
    "train_paths",
    "write_decoded",
    "write_edited",
    "write_sweep",
]

NETCDF = (".nc", ".nc4", ".netcdf")
AXES = ("channel", "y", "x")
SWEEP = "isospan size"


def default_path(directory: PathLike, files: Sequence[PathLike], *, kind: Literal["decoded", "edited"]) -> Path:
    """Return the default path of decoded quantities or edited fields: NetCDF if all input files are, else ``.npz``.

    Example:
        >>> default_path("run", ["data/a.nc", "data/b.nc"], kind="decoded").as_posix()
        'run/decoded-a.nc'
        >>> default_path("run", ["c.npy"], kind="edited").as_posix()
        'run/edited-c.npz'
    """
    suffix = ".nc" if all(Path(file).suffix in NETCDF for file in files) else ".npz"
    return Path(directory) / f"{kind}-{Path(files[0]).stem}{suffix}"


def train_paths(directory: PathLike, quantities: int) -> list[Path]:
    """Return the paths of all files that :func:`isospan.experiment.train` may replace, with this many quantities."""
    from isospan.experiment.reports import report_paths

    out = Path(directory)
    weights = [out / "model.safetensors", out / "space.safetensors"]
    return [*report_paths(out, edits=quantities), *weights, *checkpoints_in(out)]


def audit_paths(directory: PathLike) -> list[Path]:
    """Return the paths of all files that :func:`isospan.experiment.audit` may replace."""
    from isospan.experiment.reports import report_paths

    return [*report_paths(directory, edits=0), Path(directory) / "space.safetensors"]


def check_suffix(path: PathLike) -> Path:
    """Require a suffix that :func:`write_decoded` can write.

    Raises:
        OptionError: the path has another suffix.
    """
    path = Path(path)
    if path.suffix not in (".npz", *NETCDF):
        raise OptionError(
            f"The path must end in .npz or, for NetCDF, in {', '.join(NETCDF)}, got {str(path)!r}. Change its suffix."
        )
    return path


def write_decoded(
    path: PathLike,
    decoded: Mapping[str, np.ndarray],
    sample_coordinate: Any = None,
    *,
    std: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write quantities as NetCDF or ``.npz``.

    A name that NetCDF does not allow, such as ``u/v``, is percent-encoded: ``u%2Fv``. A name that is in use, such as
    that of the sample dimension, gets an underscore. The attribute ``long_name`` is the original name. Standard
    deviations have the name of the quantity and ``_std``, with an underscore more where a quantity has that name.

    Args:
        path: path of the file. Its suffix chooses the format.
        decoded: quantities {name: (N, ...)}.
        sample_coordinate: sample coordinate (N,) of a NetCDF file, an ``xarray.DataArray``; by default the dimension
            ``sample``.
        std: standard deviations {name: (N, ...)} of the quantities.

    Raises:
        OptionError: the path has another suffix.
        FileWriteError: the file cannot be written, for example on a full disk.
    """
    path = check_suffix(path)
    with atomic_path(path) as temporary:
        if path.suffix in NETCDF:
            _write_netcdf(temporary, _dataset(decoded, sample_coordinate, std or {}))
        else:
            _save(temporary, {**decoded, **_named(std or {}, decoded)})
    return path


def edited_paths(path: PathLike, quantities: Iterable[str]) -> list[Path]:
    """Return the paths that :func:`write_edited` writes: the arrays, then one image for each edited quantity.

    Example:
        >>> [path.as_posix() for path in edited_paths("run/edited.npz", ["u/v"])]
        ['run/edited.npz', 'run/edited-u%2Fv.png']
    """
    path = Path(path)
    images = apart(quantities, file_name, same=_alike).values()
    return [path, *(path.with_name(f"{path.stem}-{image}.png") for image in images)]


def write_edited(path: PathLike, edited: Edited) -> list[Path]:
    """Write the arrays of an edit, and beside them an image of the first sample and channel for each edited quantity.

    Images of an earlier edit with the same path that this one does not have are removed.

    The arrays are ``fields`` and ``fields_before`` (N, C, H, W), the edited ``latents`` (N, D), and every quantity read
    from these, ``read_NAME``.

    Args:
        path: path of the arrays: ``.npz``, or a suffix of NetCDF.
        edited: the edit.

    Returns:
        The paths of the arrays and of the images.

    Raises:
        OptionError, FileWriteError: as in :func:`write_decoded`.
    """
    from isospan.experiment.reports._export import remove_earlier, write_png
    from isospan.experiment.reports.figures import edit_panel

    path, *images = edited_paths(path, edited.targets)
    arrays = {"fields": edited.after, "fields_before": edited.before, "latents": edited.latents}
    arrays |= {f"read_{key}": y for key, y in edited.read_after.items()}
    numbers = {key: values.detach().cpu().numpy() for key, values in arrays.items()}
    write_decoded(path, numbers, edited.sample_coordinate)
    for image, quantity in zip(images, edited.targets, strict=True):
        write_png(image, edit_panel(edited, quantity), source=path.name)
    remove_earlier(path.parent.glob("*.png"), source=path.name, kept=images)
    return [path, *images]


def write_sweep(path: PathLike, sweep: ThresholdSweep | None) -> None:
    """Write the heat map of a sweep of thresholds as PNG; without a sweep, remove an earlier one."""
    from isospan.experiment.reports._export import remove_earlier, write_png

    if sweep is None:
        remove_earlier([Path(path)], source=SWEEP)
    else:
        write_png(Path(path), sweep.plot(), source=SWEEP)


def _alike(text: str) -> str:
    """Equal for names that some file systems do not distinguish."""
    return normalize("NFC", text).casefold()


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a ``.npz`` file. The keywords of ``numpy.savez`` would not allow an array named ``file``."""
    with ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{npz_name(name)}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(values), allow_pickle=False)


def _write_netcdf(path: Path, dataset: Any) -> None:
    try:
        dataset.to_netcdf(path)
    except RuntimeError as error:  # the library reports a full disk as one
        raise OSError(str(error)) from error


def _named(std: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Standard deviations under names that no quantity has."""
    names = apart(std, "{}_std".format, taken=decoded)
    return {names[name]: values for name, values in std.items()}


def _dataset(decoded: Mapping[str, np.ndarray], coordinate: Any, std: Mapping[str, np.ndarray]) -> Any:
    import xarray

    if coordinate is None:
        coordinate = xarray.DataArray(np.arange(len(next(iter(decoded.values())))), dims=["sample"], name="sample")
    sample = netcdf_name(str(coordinate.name))
    coordinate = coordinate.rename({coordinate.dims[0]: sample}).rename(sample)
    names = apart(decoded, netcdf_name, taken=[sample])
    variables = {}
    for name, values in decoded.items():
        axes = [f"{names[name]}_{axis}" for axis in AXES[-(values.ndim - 1) :]] if values.ndim > 1 else []
        others = [*names.values(), *(axis for dims, *_ in variables.values() for axis in dims), sample]
        dims = (sample, *apart(axes, str, taken=others).values())
        variables[names[name]] = (dims, values, {"long_name": name})
    written = apart(
        std,
        lambda name: f"{names[name]}_std",
        taken=[sample, *names.values(), *(axis for dims, *_ in variables.values() for axis in dims)],
    )
    for name, values in std.items():
        about = {"long_name": f"standard deviation of {name}"}
        variables[written[name]] = (variables[names[name]][0], values, about)
    return xarray.Dataset(variables, coords={sample: coordinate})


def __dir__() -> list[str]:
    return __all__
