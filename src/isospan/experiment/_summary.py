"""Collecting the data of a report."""

import platform
import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

import isospan
from isospan.errors import NumericalWarning
from isospan.experiment._edits import Edited
from isospan.experiment._job import Job, TrainedNetwork
from isospan.experiment._run_summary import RunSummary
from isospan.experiment._sizes import Sizes
from isospan.experiment._use import TrainedRun
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.samples import Samples
from isospan.experiment.samples._samples import concatenate
from isospan.experiment.training import History, encode_samples

SHOWN = 4
LOSSES = ("task", "guidance")


@torch.no_grad()
def summarise(job: Job, sizes: Sizes, networks: Mapping[str, TrainedNetwork], *, seconds: float) -> RunSummary:
    """Collect the data of the report, with images of a few held-out samples at equal distances."""
    guided, unguided = networks["guided"], networks.get("unguided")
    shown = spread(job.test, SHOWN)
    x, _ = shown.tensors()
    return RunSummary(
        title=job.config.title or "Guided latent space",
        dims=sizes.dims,
        latent_dim=sizes.latent_dim,
        guided=guided.evaluation,
        nmse={name: network.nmse for name, network in networks.items()},
        history=_shown_losses(guided.history),
        drift=guided.drift,
        settings={"samples": {"to train": len(job.train), "held out": len(job.test)}} | job.config.settings(),
        sweep=sizes.sweep,
        unguided=unguided.evaluation if unguided else None,
        unguided_history=_shown_losses(unguided.history) if unguided else None,
        reconstructions={"input": x} | {name: _on_device(network.model, x) for name, network in networks.items()},
        decoded=_decoded(job, shown, guided),
        edits=_edits(job, shown, guided),
        versions=versions(),
        seconds=seconds,
    )


def versions() -> dict[str, str]:
    """Versions of the software."""
    found = {"isospan": isospan.__version__, "torch": torch.__version__, "numpy": np.__version__}
    return found | {"python": platform.python_version()}


def spread(samples: Samples, count: int) -> Samples:
    """Return a number of samples at equal distances."""
    count = min(count, len(samples))
    firsts = torch.linspace(0, len(samples) - 1, count + 2)[1:-1].long().tolist() if count > 1 else [0]
    return concatenate([samples[first : first + 1] for first in firsts])


def _shown_losses(history: History) -> History:
    return replace(history, losses={name: history.losses[name] for name in LOSSES if name in history.losses})


def _on_device(model: ConvAutoencoder, x: Tensor) -> Tensor:
    return model.eval()(x.to(model.field_mean.device))[0].cpu()


def _decoded(job: Job, shown: Samples, network: TrainedNetwork) -> dict[str, tuple[Tensor, Tensor]]:
    z = encode_samples(network.model, shown).cpu().double()
    return pairs(job.targets(shown), network.space.to(device="cpu").decode(z))


def pairs(true: Mapping[str, Tensor], decoded: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return {name: (true, decoded)}."""
    return {name: (true[name], decoded[name]) for name in true}


def _edits(job: Job, shown: Samples, network: TrainedNetwork) -> dict[str, Edited]:
    """Set each quantity of one sample to its value in another."""
    run = TrainedRun(network.model.eval(), network.space, record={})
    z = run.encode(shown).double()
    wanted = run.space.decode(z[-1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # the figure shows where an edit does not reach its target
        return {name: run.edit(z[:1], {name: wanted[name]}, job.targets) for name in job.targets.names}
