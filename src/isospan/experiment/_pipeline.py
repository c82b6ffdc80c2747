"""Training: from fields and named quantities to a trained, evaluated and saved latent space."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from isospan._core.launch import check_usable, joined, own_device
from isospan.errors import NumericalWarning
from isospan.experiment._config import TrainConfig, options_of
from isospan.experiment._data import Source, read_source
from isospan.experiment._edits import Edited
from isospan.experiment._job import Job, TrainedNetwork, checkpoints_in
from isospan.experiment._lock import run_lock
from isospan.experiment._reporter import LoggingReporter, Reporter
from isospan.experiment._run_summary import SHOWN, RunSummary
from isospan.experiment._sizes import Sizes
from isospan.experiment._targets import Targets, parse_quantities, variables_of
from isospan.experiment._use import TrainedRun
from isospan.experiment.networks import ConvAutoencoder, NetworkDescription, save_network
from isospan.experiment.samples import Samples, Shard, hold_out, spread
from isospan.experiment.training import History, can_shift
from isospan.subspaces import LatentSpace


@dataclass(frozen=True, eq=False)
class Result:
    """The result of :func:`train`.

    Attributes:
        guided: the network trained with guidance.
        unguided: the same network trained without guidance; None without the baseline.
        sizes: n and k of each quantity, and the latent dimension.
        summary: the data of the report.
        report: path of ``report.html``.
    """

    guided: TrainedNetwork
    unguided: TrainedNetwork | None
    sizes: Sizes
    summary: RunSummary
    report: Path

    def __repr__(self) -> str:
        names = shorten(", ".join(self.sizes.dims), 80, placeholder=" …")
        nmse = f"{self.guided.nmse:.4g}" + (f" (unguided {self.unguided.nmse:.4g})" if self.unguided else "")
        report = "/".join(self.report.parts[-2:])[-80:]
        return f"Result({names}; latent_dim={self.sizes.latent_dim}, nmse={nmse}, report={report!r})"

    @property
    def space(self) -> LatentSpace:
        """The guided latent space."""
        return self.guided.space

    @property
    def model(self) -> ConvAutoencoder:
        """The guided network."""
        return self.guided.model


def train(config: TrainConfig, *, samples: Samples | Tensor | None = None, reporter: Reporter | None = None) -> Result:
    """Train a network with guidance; write its weights, its latent space and a report to ``config.out``.

    The steps: read the fields, choose the sizes of the quantities, train the network with guidance, train it without
    guidance from the same weights on the same batches, evaluate both on the held-out samples, and write the results.
    Results of an earlier run in ``config.out`` are replaced, unless ``config.resume`` continues it.

    Under torchrun, or where ``torch.distributed`` is initialised, all processes call this with the same arguments. Each
    takes its shard of every global batch, and returns the result. Only the first one writes. A second run in the same
    directory is refused before it changes anything.

    Args:
        config: the settings.
        samples: the fields (N, C, H, W), or these with arrays of quantities, instead of the files of ``config``.
        reporter: receives the progress.

    Raises:
        IsospanError: the files, the quantities or a setting cannot be used.

    Example:
        >>> import tempfile, torch
        >>> x = torch.randn(24, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> x = torch.nn.functional.interpolate(x, size=(8, 8), mode="bilinear")
        >>> config = TrainConfig(quantities={"local_mean": ""}, out=tempfile.mkdtemp(), epochs=1, batch_size=8, width=4)
        >>> train(config, samples=x).report.name
        'report.html'
    """
    config = replace(config, device=own_device(config.device))
    check_usable(config.device)
    with joined(config.device):
        started = time.perf_counter()
        source = _source(config, samples)
        job = _job(config, source, reporter or LoggingReporter())
        with run_lock(config.out):  # after the checks of the data, so that bad data leave no directory
            return _train(source, job, started)


def _train(source: Source, job: Job, started: float) -> Result:
    config = job.config
    _announce_replaced_run(config, job.reporter)
    sizes = job.solve_sizes()
    job = replace(job, targets=job.targets.pooled_to(sizes.n))
    description = _describe(config, job.train, sizes)
    networks = job.train_networks(sizes, description)
    from isospan.experiment.reports import write_report  # with matplotlib, which only a report needs

    job.reporter.stage("Writing the report")
    summary = _summarise(job, sizes, networks, seconds=time.perf_counter() - started)
    shard, report = Shard.own(), Path(config.out) / "report.html"
    if shard.rank == 0:
        networks["guided"].space.save(report.with_name("space.safetensors"))
        weights = report.with_name("model.safetensors")
        save_network(weights, networks["guided"].model, description, _record(job, source, sizes))
        write_report(summary, config.out)
    if shard.size > 1:
        dist.barrier()
    return Result(networks["guided"], networks.get("unguided"), sizes, summary, report)


def size(config: TrainConfig, *, samples: Samples | Tensor | None = None, reporter: Reporter | None = None) -> Sizes:
    """Choose the sizes of the quantities as :func:`train` does, without training."""
    return _job(config, _source(config, samples), reporter or LoggingReporter()).solve_sizes()


def _source(config: TrainConfig, samples: Samples | Tensor | None) -> Source:
    if samples is None:
        where = options_of(config, "variable sample_dim fill")
        return read_source(config.files, quantities=variables_of(config.quantities), **where)
    return Source(Samples(samples) if isinstance(samples, Tensor) else samples)


def _job(config: TrainConfig, source: Source, reporter: Reporter) -> Job:
    if source.description:
        reporter.stage(source.description)
    quantities = parse_quantities(config.quantities, variables=source.variables, left_out=source.left_out)
    samples = source.with_quantities([quantity.variable for quantity in quantities if quantity.variable])
    train_set, test_set = hold_out(samples, config.test_fraction, blocks=config.test_blocks)
    targets = Targets(quantities, dx=config.dx, periodic=config.periodic)
    return Job(config, train_set, test_set, targets, config.augments and can_shift(train_set), reporter)


@torch.no_grad()
def _summarise(job: Job, sizes: Sizes, networks: Mapping[str, TrainedNetwork], *, seconds: float) -> RunSummary:
    """Collect the data of the report, with images of a few held-out samples at equal distances."""
    guided, unguided = networks["guided"], networks.get("unguided")
    run, shown = TrainedRun(guided.model.eval(), guided.space, record={}), spread(job.test, SHOWN)
    x, z = shown.tensors()[0], run.encode(shown).double()
    decoded = run.space.decode(z)
    return RunSummary(
        title=job.config.title or "Guided latent space",
        dims=sizes.dims,
        latent_dim=sizes.latent_dim,
        guided=guided.evaluation,
        nmse={name: network.nmse for name, network in networks.items()},
        history=_main_losses(guided),
        drift=guided.drift,
        settings={"samples": {"to train": len(job.train), "held out": len(job.test)}} | job.config.settings(),
        sweep=sizes.sweep,
        unguided=unguided.evaluation if unguided else None,
        unguided_history=_main_losses(unguided) if unguided else None,
        reconstructions={"input": x}
        | {name: network.model.eval()(x.to(z.device))[0].cpu() for name, network in networks.items()},
        decoded={name: (y, decoded[name].cpu()) for name, y in job.targets(shown).items()},
        edits=_example_edits(run, z, job.targets),
        intervals=guided.intervals,
        edit_scores={name: network.edits for name, network in networks.items() if network.edits is not None},
        use=guided.use,
        seconds=seconds,
    )


def _main_losses(network: TrainedNetwork) -> History:
    losses = network.history.losses
    return replace(network.history, losses={name: losses[name] for name in ("task", "guidance") if name in losses})


def _example_edits(run: TrainedRun, z: Tensor, targets: Targets) -> dict[str, Edited]:
    """Set each quantity of the first latent to its value in the last."""
    wanted = run.space.decode(z[-1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # the figure shows where an edit does not reach its target
        return {name: run.edit(z[:1], {name: wanted[name]}, targets) for name in targets.names}


def _announce_replaced_run(config: TrainConfig, reporter: Reporter) -> None:
    """Report that results in the directory are replaced, or that there is no run to resume."""
    out = Path(config.out)
    begun = bool(checkpoints_in(out))
    if config.resume and not begun:
        reporter.stage(f"There is no run to resume in {out}; training starts from the beginning")
    elif not config.resume and (begun or (out / "model.safetensors").is_file()):
        reporter.stage(f"Replacing the run in {out}; resume=True would continue it")


def _describe(config: TrainConfig, samples: Samples, sizes: Sizes) -> NetworkDescription:
    channels, height, width = samples[0:1].tensors()[0].shape[1:]
    return NetworkDescription(
        channels, (height, width), sizes.latent_dim, config.width, config.periodic, config.encoder_reference
    )


def _record(job: Job, source: Source, sizes: Sizes) -> dict[str, Any]:
    """The facts of a run that :class:`TrainedRun` needs."""
    return {
        "channels": list(source.channels),
        "quantities": {quantity.name: quantity.text for quantity in job.targets.quantities},
        "dims": {name: list(pair) for name, pair in sizes.dims.items()},
        "settings": job.config.settings(),
    }
