"""Figure of an evaluation of edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from isospan._core.figures import ACCENT, draw_matrix, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SPECIFIC_AT_FULL_COLOUR = 4.0


class Edits(Protocol):
    """The attributes of an :class:`isospan.evaluation.EditEvaluation` in the figure."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def linear_share(self) -> Mapping[str, float]: ...
    @property
    def linear_r2(self) -> Mapping[str, float]: ...
    @property
    def decoded_share(self) -> Mapping[str, float]: ...
    @property
    def decoded_r2(self) -> Mapping[str, float]: ...
    @property
    def decoded_side_effects(self) -> Tensor: ...
    @property
    def specificity(self) -> Tensor: ...


def plot_edits(evaluation: Edits) -> Figure:
    """Return three matrices: fidelity of both edits, side effects of that through the decoder, and specificity."""
    names = evaluation.names
    scores = {
        "linear share": evaluation.linear_share,
        "linear R²": evaluation.linear_r2,
        "decoded share": evaluation.decoded_share,
        "decoded R²": evaluation.decoded_r2,
    }
    with style():
        figure = new_figure(min(5.4 + 1.4 * len(names), 11), min(2.1 + 0.5 * len(names), 4.5))
        fidelity, side, specificity = figure.subplots(1, 3, sharey=True, width_ratios=[4, *[max(2, len(names))] * 2])
        draw = partial(draw_matrix, rows=names, size=8.5 if len(names) <= 5 else 7)
        values = np.array([[values[name] for values in scores.values()] for name in names])
        draw(fidelity, values, columns=list(scores), negative=ACCENT)
        draw(side, evaluation.decoded_side_effects.numpy(), columns=names, positive=ACCENT)
        draw(specificity, evaluation.specificity.numpy(), columns=names, full=SPECIFIC_AT_FULL_COLOUR)
        fidelity.set(title="edit fidelity", ylabel="edited quantity i")
        side.set(title="side effect, std. dev.", xlabel="quantity j")
        specificity.set(title="specificity", xlabel="steps of quantity j")
    return figure
