"""The data of a report, independent of how they were computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from textwrap import shorten
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from isospan.errors import ShapeError
from isospan.evaluation import Evaluation
from isospan.guided import SubspaceMonitor
from isospan.sizing import ThresholdSweep

Array: TypeAlias = np.ndarray | Tensor


def to_array(values: Array) -> np.ndarray:
    """Return a tensor or array, on any device and in any precision, as a float64 array.

    Example:
        >>> to_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
        array([1., 1.])
    """
    return torch.as_tensor(values).detach().cpu().double().numpy()


@dataclass(frozen=True, eq=False)
class LossHistory:
    """The losses logged while training.

    Attributes:
        step: optimiser steps at which the terms were logged, ascending.
        terms: value of each term at those steps, by name, such as ``{"reconstruction": [...], "alignment": [...]}``.
        solve_steps: steps at which the subspaces were solved.
        validation_step: steps at which held-out data were scored, ascending.
        validation: held-out value of each term at those steps, by name. Terms of one name share a panel.

    Raises:
        ShapeError: a term does not have one value for each step.

    Example:
        >>> LossHistory(step=[1, 2], terms={"task": [0.5, 0.4]}, solve_steps=[2]).terms["task"]
        [0.5, 0.4]
    """

    step: Sequence[int]
    terms: Mapping[str, Sequence[float]]
    solve_steps: Sequence[int] = ()
    validation_step: Sequence[int] = ()
    validation: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every curve has one value for each of its steps."""
        for steps, curves in ((self.step, self.terms), (self.validation_step, self.validation)):
            for name, values in curves.items():
                if len(values) != len(steps):
                    raise ShapeError(
                        f"The loss term {name!r} must have one value for each of the {len(steps)} logged steps, "
                        f"got {len(values)}. Log NaN where a term has no value."
                    )

    def __repr__(self) -> str:
        names = shorten(", ".join({**self.terms, **self.validation}), 120, placeholder=" …")
        return f"LossHistory({names}; {len(self.step)} logged steps, {len(self.solve_steps)} solves)"


@dataclass(frozen=True, eq=False)
class FieldPair:
    """True and decoded fields of one quantity for a few samples, each (n, h, w) in the quantity's units.

    Raises:
        ShapeError: the two do not have the same three axes.
    """

    true: Array
    decoded: Array

    def __post_init__(self) -> None:
        """Check that both have the same three axes."""
        if len(self.true.shape) != 3 or tuple(self.true.shape) != tuple(self.decoded.shape):
            raise ShapeError(
                f"True and decoded fields must both have shape (n, h, w), got {tuple(self.true.shape)} and "
                f"{tuple(self.decoded.shape)}. Use a height of 1 for profiles and 1 by 1 for numbers."
            )

    def __repr__(self) -> str:
        return f"FieldPair(true and decoded fields {tuple(self.true.shape)})"


@dataclass(frozen=True, eq=False)
class EditExample:
    """One edit of a quantity: the field and the quantity before and after.

    Attributes:
        quantity: name of the edited quantity.
        before: field (H, W) decoded from the latent before the edit.
        after: field (H, W) decoded from the edited latent.
        target: value (h, w) that the quantity was set to.
        decoded_before: quantity (h, w) read from the latent before the edit.
        decoded_after: quantity (h, w) read from the edited latent.
        computed_before: quantity (h, w) computed from ``before``, where it is a function of fields.
        computed_after: quantity (h, w) computed from ``after``.
        fidelity: edit fidelity, see :meth:`isospan.experiment.Edited.fidelity`; NaN where nothing is computed.
    """

    quantity: str
    before: Array = field(repr=False)
    after: Array = field(repr=False)
    target: Array = field(repr=False)
    decoded_before: Array = field(repr=False)
    decoded_after: Array = field(repr=False)
    computed_before: Array | None = field(default=None, repr=False)
    computed_after: Array | None = field(default=None, repr=False)
    fidelity: float = float("nan")

    @property
    def is_computed(self) -> bool:
        """Whether the quantity is also computed from both fields."""
        return self.computed_before is not None and self.computed_after is not None

    def __post_init__(self) -> None:
        """Check that the fields have one shape (H, W), and the quantities one shape (h, w)."""
        computed = ("computed_before", "computed_after") if self.is_computed else ()
        for group in (("before", "after"), ("target", "decoded_before", "decoded_after", *computed)):
            shapes = {tuple(getattr(self, what).shape) for what in group}
            if len(shapes) > 1 or len(next(iter(shapes))) != 2:
                raise ShapeError(
                    f"The edit of {self.quantity!r} needs {', '.join(group)} as images of one shape (height, width), "
                    f"got {sorted(shapes)}. Select one sample and one channel."
                )


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """Inputs and their reconstructions, each (n, H, W) or (n, C, H, W). The report shows the first channel.

    Attributes:
        inputs: held-out samples.
        guided: reconstructions by the guided network.
        unguided: reconstructions by the network trained without guidance; None without the baseline.

    Raises:
        ShapeError: the shapes differ.
    """

    inputs: Array
    guided: Array
    unguided: Array | None = None

    def __post_init__(self) -> None:
        """Check that all shapes are equal."""
        for what, images in (("guided", self.guided), ("unguided", self.unguided)):
            if images is not None and tuple(images.shape) != tuple(self.inputs.shape):
                raise ShapeError(
                    f"The {what} reconstructions must have the inputs' shape {tuple(self.inputs.shape)}, "
                    f"got {tuple(images.shape)}."
                )
        if len(self.inputs.shape) not in (3, 4):
            raise ShapeError(f"Inputs must have shape (n, H, W) or (n, C, H, W), got {tuple(self.inputs.shape)}.")

    def __repr__(self) -> str:
        networks = "guided" if self.unguided is None else "guided and unguided"
        return f"Reconstructions({networks}, of inputs {tuple(self.inputs.shape)})"


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
        reconstructions: inputs and outputs for a few held-out samples.
        decoded: true and decoded fields of each quantity.
        edits: examples of editing.
        versions: versions of the software.
        seconds: duration of the run.
        drift: rotation of the subspaces while training.
    """

    title: str
    dims: Mapping[str, tuple[int | None, int]]
    latent_dim: int
    guided: Evaluation
    nmse: Mapping[str, float] = field(default_factory=dict)
    history: LossHistory | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: ThresholdSweep | None = None
    unguided: Evaluation | None = None
    unguided_history: LossHistory | None = None
    reconstructions: Reconstructions | None = None
    decoded: Mapping[str, FieldPair] = field(default_factory=dict)
    edits: Sequence[EditExample] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = float("nan")
    drift: SubspaceMonitor | None = None

    def __repr__(self) -> str:
        title, names = (shorten(text, 80, placeholder=" …") for text in (self.title, ", ".join(self.dims)))
        nmse = {network: float(f"{value:.4g}") for network, value in self.nmse.items()}
        return f"RunSummary({title!r}: {names}; latent_dim={self.latent_dim}, nmse={nmse}, {duration(self.seconds)})"


def duration(seconds: float) -> str:
    """Return a time as text, in its two largest units.

    Example:
        >>> duration(7.2), duration(125), duration(7300), duration(float("nan"))
        ('7 s', '2 min 05 s', '2 h 01 min', '–')
    """
    if not isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
