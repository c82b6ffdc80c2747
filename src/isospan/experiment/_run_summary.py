"""The data of a report, independent of how they were computed."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor

import isospan
from isospan._core.text import duration
from isospan.evaluation import EditEvaluation, Evaluation, UseEvaluation
from isospan.experiment._edits import Edited
from isospan.experiment._error_bars import Interval
from isospan.experiment.training import History
from isospan.guided import SubspaceMonitor
from isospan.sizing import ThresholdSweep


def _versions() -> dict[str, str]:
    modules = {"isospan": isospan, "torch": torch, "numpy": np}
    return {name: module.__version__ for name, module in modules.items()} | {"python": platform.python_version()}


SHOWN = 4
"""Largest number of samples in a figure."""


@dataclass(frozen=True, eq=False)
class RunSummary:
    """The data of the report of one training run, or of an audit of given latents.

    Attributes:
        title: heading of the report.
        dims: {name: (n, k)}, the pooled resolution (None where nothing is pooled) and subspace dimension.
        latent_dim: D.
        guided: held-out evaluation of the guided network, or of the given latents.
        nmse: held-out reconstruction error over the variance, ``{"guided": ..., "unguided": ...}``; empty for an audit.
        history: losses of the guided network; None for an audit.
        settings: settings of the run.
        sweep: sizes for a grid of thresholds.
        unguided: evaluation of the same network trained without guidance.
        unguided_history: its losses.
        reconstructions: a few held-out samples (n, C, H, W), ``{"input": ..., "guided": ..., "unguided": ...}``.
        decoded: {name: (true, decoded)}, each quantity of a few held-out samples.
        edits: {name: edit of this quantity}.
        intervals: {name: intervals of this quantity for held-out samples}; empty where too few are held out.
        edit_scores: scores of edits of held-out samples, ``{"guided": ..., "unguided": ...}``; empty without a quantity
            that is a differentiable function of the fields.
        use: the error of the guided network with the mean latent, and without each subspace.
        versions: versions of the software.
        seconds: duration of the run.
        drift: rotation of the subspaces while training.
    """

    title: str
    dims: Mapping[str, tuple[int | None, int]]
    latent_dim: int
    guided: Evaluation
    nmse: Mapping[str, float] = field(default_factory=dict)
    history: History | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: ThresholdSweep | None = None
    unguided: Evaluation | None = None
    unguided_history: History | None = None
    reconstructions: Mapping[str, Tensor] = field(default_factory=dict)
    decoded: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    edits: Mapping[str, Edited] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=_versions)
    seconds: float = float("nan")
    drift: SubspaceMonitor | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    edit_scores: Mapping[str, EditEvaluation] = field(default_factory=dict)
    use: UseEvaluation | None = None

    def __repr__(self) -> str:
        title, names = (shorten(text, 80, placeholder=" …") for text in (self.title, ", ".join(self.dims)))
        nmse = {network: float(f"{value:.4g}") for network, value in self.nmse.items()}
        return f"RunSummary({title!r}: {names}; latent_dim={self.latent_dim}, nmse={nmse}, {duration(self.seconds)})"
