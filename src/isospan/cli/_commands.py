"""The subcommands: ``isospan demo | size | train | probe | decode | edit``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isospan.cli import _options as options
from isospan.cli._messages import clean_errors, console, replace_unencodable
from isospan.cli._tables import edits_table, evaluation_table, notes, results_table
from isospan.cli._terminal import TerminalReporter


class _App(typer.Typer):
    """The commands. Characters that the encoding of the output lacks are replaced instead of an error."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run the subcommand of the arguments."""
        replace_unencodable()
        return super().__call__(*args, **keywords)


app: typer.Typer = _App(
    help="Guide the latent space of a network with named quantities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from isospan import __version__

        console.print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Guide the latent space of a network with named quantities."""


RESUMES = "The same command with --resume continues from the last checkpoint."
OF_A_RUN = {"latents", "files", "device", "quantities", "encoder", "trust", "debug"}
"""Parameters of `probe` where it scores a run."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path("isospan-demo"),
    epochs: Annotated[int | None, typer.Option(help="Passes over the samples.", min=1)] = None,
    samples: Annotated[int | None, typer.Option(help="Number of simulated fields.", min=8)] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Train on simulated turbulence: about four minutes."""
    with clean_errors(debug=debug, interrupted=RESUMES), TerminalReporter() as reporter:
        from isospan._core.launch import check_usable, own_device
        from isospan.cli import _demo
        from isospan.experiment import train as train_run

        check_usable(own_device(device))
        changes = {"epochs": epochs} if epochs else {}
        config = _demo.demo_config(out, seed=seed, device=device, resume=resume, **changes)
        held_out = out / "held_out.npz"
        options.check_new_run(out, len(config.quantities), held_out, overwrite=overwrite, resume=resume)
        reporter.stage("Decaying turbulence (simulated once, then cached)")
        fields = _demo.demo_samples(samples or _demo.SAMPLES, progress=reporter.generated)
        result = train_run(config, samples=fields, reporter=reporter)
        _demo.write_held_out(held_out, fields)
    _show(result)
    name = next(iter(config.quantities))
    _say(f"Try:\n  isospan decode {out} {held_out}\n  isospan edit {out} {held_out} --set '{name}=*2'")


@app.command(epilog=options.EPILOG)
def train(
    files: options.Files,
    quantities: options.Quantities,
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path("isospan-run"),
    epochs: Annotated[int, typer.Option(help="Passes over the samples.")] = 16,
    latent: Annotated[str, typer.Option(help="Latent dimension D, or auto to choose it from the data.")] = "auto",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    variable: options.Variable = None,
    sample_dim: options.SampleDim = None,
    fill: options.Fill = None,
    periodic: options.Periodic = False,
    dx: options.Spacing = "1",
    batch_size: Annotated[int, typer.Option(help="Samples in a batch.")] = 64,
    lr: Annotated[float, typer.Option("--learning-rate", help="The highest learning rate.")] = 3e-3,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Make the subspaces mutually orthogonal.")] = False,
    strength: Annotated[float, typer.Option(help="Strength of the guidance.")] = 0.5,
    encoder: Annotated[
        str | None, typer.Option(help="module:Class, called as Class(channels, size, latent_dim).")
    ] = None,
    bin_threshold: options.BinThreshold = 0.95,
    k_threshold: options.KThreshold = 0.90,
    max_bins: options.MaxBins = 8,
    test_fraction: options.TestFraction = 0.2,
    test_blocks: options.TestBlocks = 5,
    baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help="Also train without guidance.")] = True,
    debug: options.Debug = False,
) -> None:
    """Train a network with guidance by the named quantities, and write a report."""
    with clean_errors(debug=debug, interrupted=RESUMES), TerminalReporter() as reporter:
        from isospan.experiment import TrainConfig
        from isospan.experiment import train as train_run

        title = ", ".join(path.name for path in files)
        config = TrainConfig(**options.settings_of(TrainConfig, locals()))
        options.check_new_run(out, len(config.quantities), overwrite=overwrite, resume=resume)
        result = train_run(config, reporter=reporter)
    _show(result)


@app.command(epilog=options.EPILOG)
def size(
    files: options.Files,
    quantities: options.Quantities,
    out: Annotated[Path, typer.Option(help="PNG image of D over both thresholds.")] = Path("isospan-sizes.png"),
    overwrite: options.Overwrite = False,
    variable: options.Variable = None,
    sample_dim: options.SampleDim = None,
    fill: options.Fill = None,
    periodic: options.Periodic = False,
    dx: options.Spacing = "1",
    bin_threshold: options.BinThreshold = 0.95,
    k_threshold: options.KThreshold = 0.90,
    max_bins: options.MaxBins = 8,
    debug: options.Debug = False,
) -> None:
    """Show the sizes that train would choose: n and k of each quantity, and D; and draw D over the thresholds."""
    with clean_errors(debug=debug), TerminalReporter() as reporter:
        from isospan.experiment import TrainConfig
        from isospan.experiment import size as solve
        from isospan.experiment.outputs import write_sweep

        options.check_new([out], overwrite=overwrite)
        sizes = solve(TrainConfig(**options.settings_of(TrainConfig, locals())), reporter=reporter)
        write_sweep(out, sizes.sweep)
        if sizes.sweep is None:
            _say("No heat map is written: numbers and short series are not pooled, so n is not chosen.")
        else:
            _say(f"The heat map is {out}")


@app.command()
def probe(
    context: typer.Context,
    latents: Annotated[
        Path, typer.Argument(help="Latents (N, D) of any model; or the directory of a run.", show_default=False)
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Arrays (N, ...), each a quantity of the latents; or fields for a run.", show_default=False
        ),
    ],
    quantities: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            "-q",
            help="NAME or NAME=array:VARIABLE, by default all; for a run, NAME=module:function. Repeat for several.",
        ),
    ] = None,
    k: Annotated[
        list[str] | None,
        typer.Option("-k", help="Subspace dimension, or NAME=k; repeat for several. By default from the variance."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of the results, for latents.")] = Path("isospan-probe"),
    overwrite: options.Overwrite = False,
    orthogonal: Annotated[bool, typer.Option("--orthogonal", help="Make the subspaces mutually orthogonal.")] = False,
    variable: Annotated[str | None, typer.Option(help="Name of the latents, if their file has several arrays.")] = None,
    sample_dim: options.SampleDim = None,
    fill: options.Fill = None,
    missing: Annotated[
        str, typer.Option(help="Rows whose quantity has NaN: raise an error, or skip them, quantity by quantity.")
    ] = "raise",
    classes: Annotated[
        list[str] | None,
        typer.Option(help="NAME=C of a quantity of integers that are class labels of C classes; repeat for several."),
    ] = None,
    bin_threshold: options.BinThreshold = 0.95,
    k_threshold: options.KThreshold = 0.90,
    max_bins: options.MaxBins = 8,
    test_fraction: options.TestFraction = 0.2,
    test_blocks: options.TestBlocks = 5,
    device: options.Device = "cpu",
    encoder: options.Encoder = None,
    trust: options.Trust = False,
    debug: options.Debug = False,
) -> None:
    """Measure how well quantities are read from the latents of any model, and write a report; or score a run.

    LATENTS is a .npz, .npy, NetCDF, HDF5 or Zarr file with one array (N, D). FILES have arrays (N, ...) by name.
    Subspaces are solved from most rows and scored on the held-out ones, without training. If LATENTS is the directory
    of a run, FILES are fields, and the run is scored on them; it takes --device, --quantity, --encoder and --trust, and
    writes nothing.
    """
    with clean_errors(debug=debug), TerminalReporter() as reporter:
        if latents.is_dir() and latents.suffix != ".zarr":
            from isospan.experiment import probe as score

            options.check_unused(context, {*context.params} - OF_A_RUN, case="LATENTS is the directory of a run")
            functions = options.quantities_of(quantities or [])
            _print_evaluation(score(latents, files, device=device, encoder=encoder, quantities=functions, trust=trust))
        else:
            from isospan.experiment import AuditConfig, audit
            from isospan.experiment.outputs import audit_paths

            options.check_unused(context, {"device", "encoder", "trust"}, case="LATENTS is a file")
            config = AuditConfig(**options.settings_of(AuditConfig, locals()))
            options.check_no_network(out)
            options.check_new(audit_paths(out), overwrite=overwrite)
            result = audit(latents, files, config, reporter=reporter)
            _print_evaluation(result.evaluation)
            _print_report(result)


@app.command()
def decode(
    run: options.Run,
    files: options.Files,
    out: Annotated[Path | None, typer.Option(help="File, .npz or .nc; in the directory of the run by default.")] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
    encoder: options.Encoder = None,
    trust: options.Trust = False,
    debug: options.Debug = False,
) -> None:
    """Read every quantity of the fields in files from their latents, with standard deviations of the errors."""
    with clean_errors(debug=debug):
        from isospan.experiment import TrainedRun
        from isospan.experiment.outputs import check_suffix, default_path, write_decoded

        path = check_suffix(out or default_path(run, files, kind="decoded"))
        options.check_new([path], overwrite=overwrite)
        trained = TrainedRun.load(run, device=device, encoder=encoder, trust=trust)
        source = trained.open(files)
        if trained.space.residual_std is None:
            _say("No standard deviations are written: the run is of version 0.1.0. Train again to have them.")
            decoded, std = trained.decode(source.samples), {}
        else:
            decoded, std = trained.decode(source.samples, std=True)
        write_decoded(path, decoded, source.sample_coordinate, std=std)
        for name, values in decoded.items():
            error = f", standard deviation of the error {(std[name] ** 2).mean() ** 0.5:.3g}" if std else ""
            _say(f"{name}: {values.shape}, {values.min():.4g} to {values.max():.4g}{error}")
        _say(f"The quantities are in {path}")


@app.command()
def edit(
    run: options.Run,
    file: Annotated[Path, typer.Argument(help="Fields to edit.", show_default=False)],
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="A value NAME=3, NAME=*1.5, NAME=+0.2 or NAME=target.npy; repeat for several.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Directory of the results; that of the run by default.")] = None,
    linear: Annotated[
        bool, typer.Option("--linear", help="Edit by one matrix product instead of through the decoder.")
    ] = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
    quantities: options.Functions = None,
    encoder: options.Encoder = None,
    trust: options.Trust = False,
    debug: options.Debug = False,
) -> None:
    """Change quantities of the fields in a file, and write the edited fields.

    A quantity that is a function of the fields reaches its value in the decoded fields; any other is changed as it is
    read from the latents.
    """
    with clean_errors(debug=debug), TerminalReporter() as reporter:
        from isospan.experiment import edit as change
        from isospan.experiment.outputs import default_path, edited_paths, write_edited

        targets, functions = options.changes_of(changes), options.quantities_of(quantities or [])
        path = default_path(out or run, [file], kind="edited")
        options.check_new(edited_paths(path, targets), overwrite=overwrite)
        settings = {"device": device, "encoder": encoder, "quantities": functions, "trust": trust, "linear": linear}
        edited = change(run, file, targets, **settings, progress=reporter.edited)
        for name in edited.targets:
            _say(_fidelity_text(name, edited.fidelity(name)))
        for name, effect in edited.side_effects.items():
            _say(f"{name}: side effect {effect:.2f}, its change in standard deviations")
        for written in write_edited(path, edited):
            drawn = " (the first sample, its first channel)" if written.suffix == ".png" else ""
            _say(f"Wrote {written}{drawn}")


def _fidelity_text(name: str, fidelity: float) -> str:
    if fidelity != fidelity:
        return f"{name}: the edit fidelity is not measured, since it cannot be computed from the decoded fields"
    return f"{name}: edit fidelity {fidelity:.2f}, the fraction of the change that the decoded fields show"


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _print_evaluation(evaluation: Any) -> None:
    console.print(evaluation_table(evaluation))
    for note in notes(evaluation):
        _say(note)


def _show(result: Any) -> None:
    console.print(results_table(result))
    if result.guided.edits is not None:
        console.print(edits_table(result.guided.edits))
    for note in notes(result.guided.evaluation):
        _say(note)
    _print_report(result)


def _print_report(result: Any) -> None:
    from isospan.experiment.reports import failures

    for sentence in failures(result.summary):
        _say(f"Warning: {sentence}")
    _say(f"The report is {result.report.absolute()}")
