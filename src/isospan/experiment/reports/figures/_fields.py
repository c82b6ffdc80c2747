"""Fields as images: true and decoded, reconstructed, and edited."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isospan.experiment._run_summary import Array, EditExample, FieldPair, Reconstructions, to_array
from isospan.experiment.reports.figures._images import (
    add_scale,
    draw_field,
    draw_row,
    height_of,
    image_grid,
    name_columns,
    name_row,
    shared_scale,
)
from isospan.plotting._style import empty_figure, style

PAIRED, SINGLE, EDITED = 0.87, 1.45, 2.0
"""Widths of an image in the three figures, in inches."""


def decoded_fields(pairs: Mapping[str, FieldPair], *, samples: int = 4) -> Figure:
    """Draw true and decoded fields: one row for each quantity, with one colour scale, two columns for each sample.

    Args:
        pairs: fields by quantity.
        samples: the largest number of samples to show.
    """
    shown = {name: _alternating(pair, samples) for name, pair in pairs.items()}
    columns = max((len(fields) for fields in shown.values()), default=0)
    with style():
        if not columns:
            return empty_figure("No fields were decoded.")
        heights = [height_of(fields.shape[1:], PAIRED) for fields in shown.values()]
        figure, grid = image_grid([PAIRED] * columns, heights, gaps=[0.06, 0.2] * (columns // 2))
        for axes, (name, fields) in zip(grid, shown.items(), strict=True):
            draw_row(figure, axes, list(fields), shared_scale(fields))
            name_row(axes[0], name)
        name_columns(grid[0], ["true", "decoded"] * (columns // 2))
    return figure


def reconstructions(images: Reconstructions, *, samples: int = 5) -> Figure:
    """Draw inputs and reconstructions on one colour scale, and the errors on another.

    Args:
        images: inputs and reconstructions of a few held-out samples.
        samples: the largest number of samples to show.
    """
    inputs, guided = _first_channel(images.inputs, samples), _first_channel(images.guided, samples)
    rows, errors = {"input": inputs, "guided": guided}, {"error, guided": guided - inputs}
    if images.unguided is not None:
        rows["unguided"] = _first_channel(images.unguided, samples)
        errors["error, unguided"] = rows["unguided"] - inputs
    with style():
        if not len(inputs):
            return empty_figure("No samples were reconstructed.")
        height = height_of(inputs.shape[1:], SINGLE)
        figure, grid = image_grid(
            [SINGLE] * len(inputs), [height] * (len(rows) + len(errors)), gaps=[0.1] * len(inputs), row_gap=0.1
        )
        _draw_block(figure, grid[: len(rows)], rows, signed=None)
        _draw_block(figure, grid[len(rows) :], errors, signed=True)
        name_columns(grid[0], [f"sample {i + 1}" for i in range(len(inputs))])
    return figure


def edit_panel(edit: EditExample) -> Figure:
    """Draw the field before and after an edit, and the difference; the quantity before, its target, and after.

    The quantity is the one read from the latents. Another row shows the one computed from the fields.
    """
    before, after = to_array(edit.before), to_array(edit.after)
    rows = {"read": (edit.decoded_before, edit.target, edit.decoded_after)}
    if edit.computed_before is not None and edit.computed_after is not None:
        rows["computed"] = (edit.computed_before, edit.target, edit.computed_after)
    quantity = {how: [to_array(field) for field in row] for how, row in rows.items()}
    scale = shared_scale(*(field for row in quantity.values() for field in row))
    heights = [height_of(before.shape, EDITED)] + [height_of(row[0].shape, EDITED) for row in quantity.values()]
    with style():
        figure, (fields, *values) = image_grid([EDITED] * 3, heights, gaps=[0.12, 0.9, 0], row_gap=0.4)
        draw_row(figure, fields[:2], [before, after], shared_scale(before, after))
        draw_row(figure, fields[2:], [after - before], shared_scale(after - before, signed=True))
        for axes, (how, row) in zip(values, quantity.items(), strict=True):
            draw_row(figure, axes, row, scale)
            name_row(axes[0], f"{edit.quantity}, {how}" if len(quantity) > 1 else edit.quantity)
            name_columns(axes, ("before", "target", "after"))
        name_columns(fields, ("before", "after", "difference"))
        name_row(fields[0], "field")
    return figure


def _draw_block(figure: Figure, grid: list[list[Axes]], rows: Mapping[str, np.ndarray], *, signed: bool | None) -> None:
    scale = shared_scale(*rows.values(), signed=signed)
    for axes, (name, fields) in zip(grid, rows.items(), strict=True):
        images = [draw_field(ax, field, scale) for ax, field in zip(axes, fields, strict=True)]
        name_row(axes[0], name)
    add_scale(figure, images[-1], [ax for axes in grid for ax in axes])


def _alternating(pair: FieldPair, samples: int) -> np.ndarray:
    """Return true and decoded fields alternating, (2 n, h, w)."""
    both = np.stack([to_array(pair.true)[:samples], to_array(pair.decoded)[:samples]], axis=1)
    return both.reshape(-1, *both.shape[2:])


def _first_channel(images: Array, samples: int) -> np.ndarray:
    array = to_array(images)[:samples]
    return array[:, 0] if array.ndim == 4 else array
