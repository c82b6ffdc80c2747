"""The options of the commands, and the parsing of their values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from isospan.errors import OptionError

QUANTITIES = {
    "of a scalar field": "local_mean local_variance gradient_x gradient_y gradient_magnitude "
    "gradient_magnitude_squared laplacian local_free_energy large_scale_energy small_scale_energy",
    "of a velocity (two channels)": "vorticity divergence strain_rate kinetic_energy",
    "of a vorticity, --periodic": "stream_function velocity_from_vorticity kinetic_energy_from_vorticity "
    "strain_rate_from_vorticity",
    "of a vorticity": "enstrophy palinstrophy_density",
}
"""The built-in quantities by their input, written out here because importing them takes seconds."""
SHOWN = 4
"""Number of paths in a message."""
EPILOG = "Built-in quantities " + "; ".join(f"{of}: {', '.join(names.split())}" for of, names in QUANTITIES.items())

Files = Annotated[list[Path], typer.Argument(help="Fields: .npz, .npy, NetCDF, HDF5 or Zarr.", show_default=False)]
Run = Annotated[Path, typer.Argument(help="Directory of a finished run.", show_default=False)]
Quantities = Annotated[
    list[str],
    typer.Option(
        "--quantity",
        "-q",
        help="NAME, NAME=BUILT_IN (see below), NAME=module:function or NAME=array:VARIABLE; repeat for several.",
        show_default=False,
    ),
]
Variable = Annotated[
    list[str] | None,
    typer.Option(help="Variable with the fields; repeat for several channels."),
]
SampleDim = Annotated[
    str | None, typer.Option(help="Dimension that counts samples, by name or number; by default the first.")
]
Fill = Annotated[float | None, typer.Option(help="Replaces NaN and infinity; by default they are an error.")]
Periodic = Annotated[bool, typer.Option("--periodic/--no-periodic", help="Whether the fields are periodic.")]
Spacing = Annotated[str, typer.Option(help="Distance of grid points, or two: ALONG_H,ALONG_W.")]
BinThreshold = Annotated[float, typer.Option(help="Explained variance that sets the pooled resolution n.")]
KThreshold = Annotated[float, typer.Option(help="Explained variance of the pooled quantity that sets k.")]
MaxBins = Annotated[int, typer.Option(help="The largest pooled resolution n.")]
Seed = Annotated[int, typer.Option(help="Seed of the weights and of the order of samples.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted run with the same settings; epochs cannot be added."),
]
TestFraction = Annotated[float, typer.Option(help="Fraction of the samples held out.")]
TestBlocks = Annotated[int, typer.Option(help="Number of blocks with held-out samples; 1 holds out the end.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Encoder = Annotated[
    str | None, typer.Option(help="module:Class or file.py:Class of the run's encoder, if it is your own.")
]
Functions = Annotated[
    list[str] | None,
    typer.Option("--quantity", "-q", help="NAME=module:function of a quantity with your own function."),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Import the classes and functions named in the run's files; this runs code."),
]
Device = Annotated[str, typer.Option(help="Device of torch: cpu, cuda, ...")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace the files of an earlier run."),
]


def check_new(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Require that no file exists yet, unless ``overwrite`` is set."""
    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - SHOWN} more" if len(existing) > SHOWN else ""
        raise OptionError(
            f"The files to write must not exist, got {', '.join(existing[:SHOWN])}{more}. Write elsewhere with --out, "
            "or replace them with --overwrite."
        )


def check_no_network(out: Path) -> None:
    """Require that a directory holds no trained network, to which a new latent space would not belong."""
    if (out / "model.safetensors").exists():
        raise OptionError(
            f"The directory of the results must not be that of a training run, got {out}. Write elsewhere with --out."
        )


def check_new_run(out: Path, quantities: int, *others: Path, overwrite: bool, resume: bool) -> None:
    """Require that no result of a training run exists in a directory, unless the run is resumed or replaced."""
    from isospan.experiment.outputs import checkpoints_in, train_paths

    begun = bool(checkpoints_in(out))
    if begun and resume:
        return
    try:
        check_new([*train_paths(out, quantities), *others], overwrite=overwrite)
    except OptionError as error:
        raise OptionError(f"{error} Or continue the run with --resume.") if begun else error from None


def check_unused(context: typer.Context, names: Iterable[str], *, case: str) -> None:
    """Require that parameters that are not used in a case have their defaults."""
    options = {option.name: option.opts[0] for option in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in sorted(names)}
    given = [options[name] for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
    if given:
        raise OptionError(f"{', '.join(given)} must be left out where {case}, since they have no effect there.")


def settings_of(config: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config class that a command was given, parsed by :data:`PARSERS`."""
    settings = {field.name: given[field.name] for field in fields(config) if field.name in given}
    parsed = {name: parse(settings[name]) for name, parse in PARSERS.items() if settings.get(name) is not None}
    return settings | parsed


def subspace_dims_of(texts: list[str]) -> int | dict[str, int]:
    """Parse one k for all, or NAME=k into {name: k}."""
    pairs = [(name, k) for name, _, k in (text.rpartition("=") for text in texts)]
    if not all(k.isdigit() for _, k in pairs) or (len(pairs) > 1 and not all(name for name, _ in pairs)):
        raise OptionError(f"-k must be an integer, or NAME=k for each quantity, got {', '.join(map(repr, texts))}.")
    if not pairs[0][0]:
        return int(pairs[0][1])
    return {name: int(k) for name, k in _once(pairs, option="-k").items()}


def classes_of(texts: list[str]) -> dict[str, int]:
    """Parse NAME=C into {name: C}."""
    pairs = [(name, C) for name, _, C in (text.rpartition("=") for text in texts)]
    if not all(name and C.isdigit() for name, C in pairs):
        raise OptionError(f"--classes must be NAME=C, C an integer, got {', '.join(map(repr, texts))}.")
    return {name: int(C) for name, C in _once(pairs, option="--classes").items()}


def quantities_of(texts: list[str]) -> dict[str, str]:
    """Parse NAME or NAME=how into {name: how}."""
    pairs = [(name.strip(), how.strip()) for name, _, how in (text.partition("=") for text in texts)]
    if nameless := [text for text, (name, _) in zip(texts, pairs, strict=True) if not name]:
        raise OptionError(f"A quantity must be written NAME or NAME=how, got {nameless[0]!r}. Begin with its name.")
    return _once(pairs, option="--quantity")


def changes_of(texts: list[str]) -> dict[str, str]:
    """Parse NAME=VALUE into {name: value}."""
    pairs = [text.partition("=") for text in texts]
    if not all(name and equals and how for name, equals, how in pairs):
        raise OptionError(f"--set must be NAME=VALUE, got {', '.join(map(repr, texts))}.")
    return _once(((name, how) for name, _, how in pairs), option="--set")


def integer_or_text(text: str) -> int | str:
    """Parse an integer; other text is returned, such as the name of a dimension."""
    return int(text) if text.isdigit() else text


def spacing_of(text: str) -> float | tuple[float, float]:
    """Parse one distance, or two."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise OptionError(f"--dx must be one number, or two such as 0.1,0.2 (along H, along W), got {text!r}.")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _once(pairs: Iterable[tuple[str, str]], *, option: str) -> dict[str, str]:
    """Return the pairs as a dict, and require that no name occurs twice."""
    found = dict[str, str]()
    for name, how in pairs:
        if name in found:
            raise OptionError(f"{option} must name each quantity once, got {name!r} twice. Leave one out or rename it.")
        found[name] = how
    return found


PARSERS: dict[str, Callable[[Any], Any]] = {
    "quantities": quantities_of,
    "k": subspace_dims_of,
    "latent": integer_or_text,
    "sample_dim": integer_or_text,
    "dx": spacing_of,
    "classes": classes_of,
}
"""How the text of an option becomes a setting."""
