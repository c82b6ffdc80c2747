"""All that a report shows, as plain data that know nothing of how they came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
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
    """Return a tensor or array, of any device and precision, as a float64 array.

    Example:
        >>> to_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
        array([1., 1.])
    """
    return torch.as_tensor(values).detach().cpu().double().numpy()


@dataclass(frozen=True, eq=False)
class LossHistory:
    """What was logged while training.

    Attributes:
        step: optimiser steps at which the terms were logged, ascending.
        terms: value of each term at those steps, by name, e.g. ``{"reconstruction": [...], "alignment": [...]}``.
        resolve_steps: steps at which the subspaces were solved again.
        validation_step: steps at which held-out data were scored, ascending.
        validation: held-out value of terms at those steps; a name that is also in ``terms`` shares its panel.

    Raises:
        ShapeError: a term does not have one value for each step.

    Example:
        >>> LossHistory(step=[1, 2], terms={"task": [0.5, 0.4]}, resolve_steps=[2]).terms["task"]
        [0.5, 0.4]
    """

    step: Sequence[int]
    terms: Mapping[str, Sequence[float]]
    resolve_steps: Sequence[int] = ()
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


@dataclass(frozen=True, eq=False)
class FieldPair:
    """True and decoded fields of one quantity for a few samples, each (n, h, w) in the quantity's units.

    Raises:
        ShapeError: the two do not have the same three axes.
    """

    true: Array
    decoded: Array

    def __post_init__(self) -> None:
        """Check that the fields can stand side by side."""
        if len(self.true.shape) != 3 or tuple(self.true.shape) != tuple(self.decoded.shape):
            raise ShapeError(
                f"True and decoded fields must both have shape (n, h, w), got {tuple(self.true.shape)} and "
                f"{tuple(self.decoded.shape)}. Use a height of 1 for profiles and 1 by 1 for numbers."
            )


@dataclass(frozen=True, eq=False)
class EditExample:
    """One edit of a quantity: what the latent decoded to before and after, as input field and as quantity.

    Attributes:
        quantity: the name of what was set.
        before: input field (H, W) decoded from the latent as it was.
        after: input field (H, W) decoded from the edited latent.
        target: value (h, w) that the quantity was set to.
        decoded_before: quantity (h, w) read from the latent as it was.
        decoded_after: quantity (h, w) read from the edited latent.
        computed_before: quantity (h, w) computed from the field before, where it is a function of fields.
        computed_after: the same from the field after.
        achieved: share of the asked change that the computed quantity makes; NaN where there is none.
    """

    quantity: str
    before: Array
    after: Array
    target: Array
    decoded_before: Array
    decoded_after: Array
    computed_before: Array | None = None
    computed_after: Array | None = None
    achieved: float = float("nan")

    @property
    def is_computed(self) -> bool:
        """Whether the quantity was also computed from both fields."""
        return self.computed_before is not None and self.computed_after is not None

    def __post_init__(self) -> None:
        """Check that images are images, and of the same size."""
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
    """Inputs and what the networks make of them, each (n, H, W) or (n, C, H, W), of which the first channel is shown.

    Attributes:
        inputs: held-out samples.
        guided: the same through the guided network.
        unguided: the same through the network trained without guidance, where there is one.

    Raises:
        ShapeError: the shapes differ.
    """

    inputs: Array
    guided: Array
    unguided: Array | None = None

    def __post_init__(self) -> None:
        """Check that the images can be subtracted."""
        for what, images in (("guided", self.guided), ("unguided", self.unguided)):
            if images is not None and tuple(images.shape) != tuple(self.inputs.shape):
                raise ShapeError(
                    f"The {what} reconstructions must have the inputs' shape {tuple(self.inputs.shape)}, "
                    f"got {tuple(images.shape)}."
                )
        if len(self.inputs.shape) not in (3, 4):
            raise ShapeError(f"Inputs must have shape (n, H, W) or (n, C, H, W), got {tuple(self.inputs.shape)}.")


@dataclass(frozen=True, eq=False)
class RunSummary:
    """One run of the main job, or an audit of latents that were not trained here.

    Attributes:
        title: heading of the report.
        dims: pooled size n (None where nothing was pooled) and dimension k of each quantity {name: (n, k)}.
        latent_dim: D.
        guided: held-out evaluation of the guided network, or of the latents.
        nmse: held-out reconstruction error over the variance, ``{"guided": ..., "unguided": ...}``, where there is one.
        history: losses of the guided network, where it was trained.
        settings: what the run was asked for, shown as it is.
        sweep: sizes for a grid of thresholds.
        unguided: evaluation of the same network trained without guidance.
        unguided_history: its losses.
        reconstructions: a few held-out samples.
        decoded: true and decoded fields of each quantity.
        edits: examples of editing.
        versions: of the software.
        seconds: how long the run took.
        drift: how the subspaces moved while training.
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


def duration(seconds: float) -> str:
    """Write a time in its two largest units.

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
