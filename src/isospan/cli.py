"""The command line: ``isospan demo | size | train | probe | decode | edit``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from isospan._terminal import (
    TerminalReporter,
    clean_errors,
    console,
    evaluation_table,
    probe_note,
    results_table,
)

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

app = typer.Typer(
    help="Guide the latent space of a network with known quantities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
Fill = Annotated[float | None, typer.Option(help="What to put in the place of NaN; an error by default.")]
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
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from isospan import __version__

        console.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Guide the latent space of a network with known quantities."""


RESUMES = "The same command with --resume continues from the last checkpoint."


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path("isospan-demo"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the samples.", min=1)] = None,
    samples: Annotated[int | None, typer.Option(help="Number of simulated fields.", min=8)] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    debug: Debug = False,
) -> None:
    """Do the main job on simulated turbulence: about four minutes."""
    with clean_errors(debug=debug, interrupted=RESUMES), TerminalReporter() as reporter:
        from isospan.experiment import train as train_run
        from isospan.experiment.config import check_device
        from isospan.experiment.demo import SAMPLES, demo_config, demo_samples, write_demo_fields

        check_device(device)
        changes = {"epochs": epochs} if epochs else {}
        config = demo_config(out, seed=seed, device=device, resume=resume, **changes)
        reporter.stage("Decaying turbulence (simulated once, then cached)")
        fields = demo_samples(samples or SAMPLES, progress=reporter.generated)
        result = train_run(config, samples=fields, reporter=reporter)
        held_out = write_demo_fields(out, fields)
    _show(result)
    name = next(iter(config.quantities))
    console.print(
        "Try:", f"  isospan decode {out} {held_out}", f"  isospan edit {out} {held_out} --set '{name}=*2'", sep="\n"
    )


@app.command(epilog=EPILOG)
def train(
    files: Files,
    quantity: Quantities,
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path("isospan-run"),
    epochs: Annotated[int, typer.Option(help="Passes over the samples.")] = 16,
    latent: Annotated[str, typer.Option(help="Latent dimension, or auto.")] = "auto",
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    variable: Variable = None,
    sample_dim: SampleDim = None,
    fill: Fill = None,
    periodic: Periodic = False,
    dx: Spacing = "1",
    batch_size: int = 64,
    learning_rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 3e-3,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Make the subspaces mutually orthogonal.")] = False,
    strength: Annotated[float | None, typer.Option(help="Of the guidance against the task.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="module:Class, made as Class(channels, size, latent_dim).")
    ] = None,
    bin_threshold: BinThreshold = 0.95,
    k_threshold: KThreshold = 0.90,
    max_bins: MaxBins = 8,
    test_fraction: TestFraction = 0.2,
    test_blocks: TestBlocks = 5,
    baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help="Also train without guidance.")] = True,
    debug: Debug = False,
) -> None:
    """Train an encoder whose latent space holds the named quantities, and write a report."""
    with clean_errors(debug=debug, interrupted=RESUMES), TerminalReporter() as reporter:
        from isospan.experiment import TrainConfig
        from isospan.experiment import train as train_run

        config = TrainConfig(
            files=files,
            quantities=_quantities(quantity),
            out=out,
            epochs=epochs,
            latent=_latent(latent),
            seed=seed,
            device=device,
            resume=resume,
            variable=variable,
            sample_dim=_dimension(sample_dim),
            fill=fill,
            periodic=periodic,
            dx=_spacing(dx),
            batch_size=batch_size,
            lr=learning_rate,
            orthogonal=orthogonal,
            strength=strength,
            encoder=encoder,
            bin_threshold=bin_threshold,
            k_threshold=k_threshold,
            max_bins=max_bins,
            test_fraction=test_fraction,
            test_blocks=test_blocks,
            baseline=baseline,
            title=", ".join(path.name for path in files),
        )
        result = train_run(config, reporter=reporter)
    _show(result)


@app.command(epilog=EPILOG)
def size(
    files: Files,
    quantity: Quantities,
    out: Annotated[Path, typer.Option(help="Image of D over both thresholds.")] = Path("isospan-sizes.png"),
    variable: Variable = None,
    sample_dim: SampleDim = None,
    fill: Fill = None,
    periodic: Periodic = False,
    dx: Spacing = "1",
    bin_threshold: BinThreshold = 0.95,
    k_threshold: KThreshold = 0.90,
    max_bins: MaxBins = 8,
    debug: Debug = False,
) -> None:
    """Show how many bins, directions and dimensions the quantities need, and draw it over the thresholds."""
    with clean_errors(debug=debug), TerminalReporter() as reporter:
        from isospan.experiment import TrainConfig
        from isospan.experiment import size as solve
        from isospan.experiment.output import write_sweep

        config = TrainConfig(
            files=files,
            quantities=_quantities(quantity),
            variable=variable,
            sample_dim=_dimension(sample_dim),
            fill=fill,
            periodic=periodic,
            dx=_spacing(dx),
            bin_threshold=bin_threshold,
            k_threshold=k_threshold,
            max_bins=max_bins,
        )
        sizes = solve(config, reporter=reporter)
        if sizes.sweep is None:
            console.print(
                "No heat map is written: numbers and short series are not pooled, so there is nothing to choose."
            )
        else:
            console.print(f"The heat map is {write_sweep(out, sizes.sweep)}", soft_wrap=True)


@app.command()
def probe(
    latents: Annotated[
        Path, typer.Argument(help="Latents (N, D) of any model; or the directory of a run.", show_default=False)
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Arrays (N, ...), each a quantity of the latents; or fields for a run.", show_default=False
        ),
    ],
    quantity: Annotated[
        list[str] | None,
        typer.Option("--quantity", "-q", help="NAME or NAME=array:VARIABLE, if not all arrays; repeat for several."),
    ] = None,
    k: Annotated[
        list[str] | None,
        typer.Option("-k", help="Directions of each subspace, or NAME=k; repeat for several. Solved by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of the results, for latents.")] = Path("isospan-probe"),
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Make the subspaces mutually orthogonal.")] = False,
    variable: Annotated[str | None, typer.Option(help="Name of the latents, if their file holds several.")] = None,
    sample_dim: SampleDim = None,
    fill: Fill = None,
    bin_threshold: BinThreshold = 0.95,
    k_threshold: KThreshold = 0.90,
    max_bins: MaxBins = 8,
    test_fraction: TestFraction = 0.2,
    test_blocks: TestBlocks = 5,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Find known quantities in the latents of any model, and write a report; or score a run on new files.

    LATENTS is a file, .npz, .npy, NetCDF, HDF5 or Zarr, with one array (N, D), and FILES hold arrays (N, ...) by name.
    Subspaces are solved from a part of the rows and scored on the others; nothing is trained. Given the directory of a
    run instead, FILES are fields, and the run is scored on them; of the options, only --device matters then.
    """
    with clean_errors(debug=debug), TerminalReporter() as reporter:
        if latents.is_dir() and latents.suffix != ".zarr":
            from isospan.experiment import probe as score

            _tell(score(latents, files, device=device))
        else:
            from isospan.experiment import AuditConfig, audit

            config = AuditConfig(
                quantities=_arrays(quantity) if quantity else None,
                k=_directions(k) if k else None,
                out=out,
                orthogonal=orthogonal,
                variable=variable,
                sample_dim=_dimension(sample_dim),
                fill=fill,
                bin_threshold=bin_threshold,
                k_threshold=k_threshold,
                max_bins=max_bins,
                test_fraction=test_fraction,
                test_blocks=test_blocks,
            )
            result = audit(latents, files, config, reporter=reporter)
            _tell(result.evaluation)
            _tell_of_report(result)


@app.command()
def decode(
    run: Run,
    files: Files,
    out: Annotated[Path | None, typer.Option(help=".npz or .nc; in the run's directory by default.")] = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Read every quantity of the fields in files from their latents."""
    with clean_errors(debug=debug):
        from isospan.experiment import TrainedRun
        from isospan.experiment.output import check_decoded_path, decoded_path, write_decoded

        path = check_decoded_path(out or decoded_path(run, files))
        trained = TrainedRun.load(run, device=device)
        source = trained.open(files)
        decoded = trained.decode(source.samples)
        write_decoded(path, decoded, source.sample_coordinate)
        for name, values in decoded.items():
            console.print(f"{name}: {values.shape}, {values.min():.4g} to {values.max():.4g}", markup=False)
        console.print(f"The quantities are in {path}", soft_wrap=True)


@app.command()
def edit(
    run: Run,
    file: Annotated[Path, typer.Argument(help="Fields to edit.", show_default=False)],
    changes: Annotated[
        list[str],
        typer.Option("--set", help="NAME=3, NAME=*1.5, NAME=+0.2 or NAME=target.npy; repeat for several."),
    ],
    out: Annotated[Path | None, typer.Option(help="Directory; the run's by default.")] = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Change quantities of the fields in a file, and write the fields that the network makes of it."""
    with clean_errors(debug=debug):
        from isospan.experiment import edit as change
        from isospan.experiment.output import suffix_like, write_edited

        edited = change(run, file, _changes(changes), device=device)
        for name in edited.targets:
            _say(_achieved(name, edited.achieved(name)))
        for path in write_edited(out or run, edited, name=f"edited-{file.stem}", suffix=suffix_like([file])):
            drawn = " (the first sample, its first channel)" if path.suffix == ".png" else ""
            console.print(f"Wrote {path}{drawn}", soft_wrap=True)


def _achieved(name: str, share: float) -> str:
    if share != share:
        return f"{name}: whether the decoded fields have it cannot be computed from them"
    return f"{name}: computed from the decoded fields, it made {share:.2f} of the change that was asked for"


def _say(text: str) -> None:
    if text:
        console.print(text, markup=False, soft_wrap=True)


def _tell(evaluation: Any) -> None:
    console.print(evaluation_table(evaluation))
    _say(probe_note(evaluation))


def _show(result: Any) -> None:
    console.print(results_table(result))
    _say(probe_note(result.guided.evaluation))
    _tell_of_report(result)


def _tell_of_report(result: Any) -> None:
    from isospan.reports.headline import failures

    for sentence in failures(result.summary):
        _say(f"Warning: {sentence}")
    console.print(f"The report is {result.report.absolute()}", soft_wrap=True)


def _arrays(texts: list[str]) -> dict[str, str]:
    """{name: array} of NAME and NAME=array:VARIABLE."""
    from isospan.experiment.targets import ARRAY

    return {name: how.removeprefix(ARRAY) or name for name, how in _quantities(texts).items()}


def _directions(texts: list[str]) -> int | dict[str, int]:
    """One k for all, or {name: k} of NAME=k."""
    from isospan.errors import OptionError

    pairs = [(name, k) for name, _, k in (text.rpartition("=") for text in texts)]
    if not all(k.isdigit() for _, k in pairs) or (len(pairs) > 1 and not all(name for name, _ in pairs)):
        raise OptionError(f"-k takes a whole number, or NAME=k for each quantity, got {', '.join(map(repr, texts))}.")
    if not pairs[0][0]:
        return int(pairs[0][1])
    return {name: int(k) for name, k in _once(pairs, option="-k").items()}


def _quantities(texts: list[str]) -> dict[str, str]:
    from isospan.experiment.targets import split_assignment

    return _once((split_assignment(text) for text in texts), option="--quantity")


def _once(pairs: Iterable[tuple[str, str]], *, option: str) -> dict[str, str]:
    from isospan.errors import OptionError

    found = dict[str, str]()
    for name, how in pairs:
        if name in found:
            raise OptionError(f"{option} must name each quantity once, got {name!r} twice. Leave one out or rename it.")
        found[name] = how
    return found


def _changes(texts: list[str]) -> dict[str, str]:
    from isospan.errors import OptionError

    pairs = [text.partition("=") for text in texts]
    if not all(name and equals and how for name, equals, how in pairs):
        raise OptionError(f"--set takes NAME=VALUE, got {', '.join(map(repr, texts))}.")
    return _once(((name, how) for name, _, how in pairs), option="--set")


def _latent(text: str) -> Any:
    return int(text) if text.isdigit() else text


def _dimension(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _spacing(text: str) -> float | tuple[float, float]:
    from isospan.errors import OptionError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise OptionError(f"--dx takes one number, or two such as 0.1,0.2 (along H, along W), got {text!r}.")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
