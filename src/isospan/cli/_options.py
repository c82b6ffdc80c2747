"""The words of the command line: its options, and what is written after them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

QUANTITIES = {
    "of a scalar field": "local_mean local_variance gradient_x gradient_y gradient_magnitude "
    "gradient_magnitude_squared laplacian local_free_energy large_scale_energy small_scale_energy",
    "of a velocity (two channels)": "vorticity divergence strain_rate kinetic_energy",
    "of a vorticity, --periodic": "stream_function velocity_from_vorticity kinetic_energy_from_vorticity "
    "strain_rate_from_vorticity",
    "of a vorticity": "enstrophy palinstrophy_density",
}
"""The built-in quantities by what they are computed from, written out since importing them takes seconds."""
EPILOG = "Built-in quantities " + "; ".join(f"{of}: {', '.join(names.split())}" for of, names in QUANTITIES.items())

Files = Annotated[list[Path], typer.Argument(help="Fields: .npz, .npy, NetCDF, HDF5 or Zarr.", show_default=False)]
Run = Annotated[Path, typer.Argument(help="Directory of a finished run.", show_default=False)]
Quantities = Annotated[
    list[str],
    typer.Option(
        "--quantity",
        "-q",
        help="NAME, NAME=built_in, NAME=module:function or NAME=array:VARIABLE; repeat for several.",
        show_default=False,
    ),
]
Variable = Annotated[
    list[str] | None, typer.Option(help="Variable of the files that is the field; several are channels.")
]
SampleDim = Annotated[str | None, typer.Option(help="Dimension that counts samples; the first one by default.")]
Fill = Annotated[float | None, typer.Option(help="What to put instead of NaN; an error by default.")]
Periodic = Annotated[bool, typer.Option("--periodic/--no-periodic", help="Whether the fields wrap around.")]
Spacing = Annotated[str, typer.Option(help="Distance of grid points, or two: along H,along W.")]
BinThreshold = Annotated[float, typer.Option(help="Share of the variance that decides the bins n.")]
KThreshold = Annotated[float, typer.Option(help="Share of the pooled variance that decides the directions k.")]
MaxBins = Annotated[int, typer.Option(help="The largest n.")]
Seed = Annotated[int, typer.Option(help="Of the weights and of the order of samples.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue an interrupted run, with the settings it had; epochs cannot be added to it."
    ),
]
TestFraction = Annotated[float, typer.Option(help="Share of the samples held out.")]
TestBlocks = Annotated[int, typer.Option(help="In how many stretches; 1 holds out the end.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Encoder = Annotated[
    str | None, typer.Option(help="module:Class or file.py:Class of the encoder that the run was trained with, if any.")
]
Functions = Annotated[
    list[str] | None,
    typer.Option("--quantity", "-q", help="NAME=module:function of a quantity that a function of yours computes."),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Import the classes and functions that the run's files name, which runs their code."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]


def check_new(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Require that no file is replaced, unless the user asks for it."""
    from isospan.errors import OptionError

    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        raise OptionError(
            f"Results are written to new files, but these exist already: {', '.join(existing)}. Write elsewhere with "
            "--out, or replace them with --overwrite."
        )


def arrays_of(texts: list[str]) -> dict[str, str]:
    """{name: array} of NAME and NAME=array:VARIABLE."""
    from isospan.experiment._targets import ARRAY

    return {name: how.removeprefix(ARRAY) or name for name, how in quantities_of(texts).items()}


def directions_of(texts: list[str]) -> int | dict[str, int]:
    """One k for all, or {name: k} of NAME=k."""
    from isospan.errors import OptionError

    pairs = [(name, k) for name, _, k in (text.rpartition("=") for text in texts)]
    if not all(k.isdigit() for _, k in pairs) or (len(pairs) > 1 and not all(name for name, _ in pairs)):
        raise OptionError(f"-k takes a whole number, or NAME=k for each quantity, got {', '.join(map(repr, texts))}.")
    if not pairs[0][0]:
        return int(pairs[0][1])
    return {name: int(k) for name, k in _once(pairs, option="-k").items()}


def quantities_of(texts: list[str]) -> dict[str, str]:
    """{name: how} of NAME or NAME=how."""
    from isospan.experiment._targets import split_assignment

    return _once((split_assignment(text) for text in texts), option="--quantity")


def changes_of(texts: list[str]) -> dict[str, str]:
    """{name: value} of NAME=VALUE."""
    from isospan.errors import OptionError

    pairs = [text.partition("=") for text in texts]
    if not all(name and equals and how for name, equals, how in pairs):
        raise OptionError(f"--set takes NAME=VALUE, got {', '.join(map(repr, texts))}.")
    return _once(((name, how) for name, _, how in pairs), option="--set")


def latent_of(text: str) -> Any:
    """A number where it is one."""
    return int(text) if text.isdigit() else text


def dimension_of(text: str | None) -> str | int | None:
    """A number where it is one, or a name."""
    return int(text) if text is not None and text.isdigit() else text


def spacing_of(text: str) -> float | tuple[float, float]:
    """One distance, or two."""
    from isospan.errors import OptionError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise OptionError(f"--dx takes one number, or two such as 0.1,0.2 (along H, along W), got {text!r}.")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _once(pairs: Iterable[tuple[str, str]], *, option: str) -> dict[str, str]:
    from isospan.errors import OptionError

    found = dict[str, str]()
    for name, how in pairs:
        if name in found:
            raise OptionError(f"{option} must name each quantity once, got {name!r} twice. Leave one out or rename it.")
        found[name] = how
    return found
