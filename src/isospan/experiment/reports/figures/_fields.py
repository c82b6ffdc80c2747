"""Fields as images: true and decoded, reconstructed, and edited."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isospan._core.figures import empty_figure, style
from isospan.experiment._edits import Edited
from isospan.experiment._run_summary import SHOWN
from isospan.experiment.reports.figures._images import (
    Array,
    add_scale,
    as_images,
    draw_field,
    draw_row,
    height_of,
    image_grid,
    name_columns,
    name_row,
    shared_scale,
)

PAIRED, SINGLE, EDITED = 0.87, 1.45, 2.0
"""Widths of an image in the three figures, in inches."""


def decoded_fields(pairs: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draw true and decoded fields: one row for each quantity, with one colour scale, two columns for each sample.

    Args:
        pairs: {name: (true, decoded)}, fields (n, C, h, w) or (n, h, w), or series (n, S). The first channel is drawn.
    """
    shown = {name: _alternating(*pair) for name, pair in pairs.items()}
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


def reconstructions(images: Mapping[str, Array]) -> Figure:
    """Draw inputs and reconstructions on one colour scale, and the errors on another.

    Args:
        images: ``"input"`` and the output of each network, fields (n, C, H, W) or (n, H, W). The first channel is
            drawn.
    """
    rows = {name: as_images(fields)[:SHOWN] for name, fields in images.items()}
    inputs = rows["input"]
    errors = {f"error, {name}": fields - inputs for name, fields in rows.items() if name != "input"}
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


def edit_panel(edited: Edited, name: str) -> Figure:
    """Draw the field before and after an edit, and the difference; a quantity before, its target, and after.

    The quantity is the one read from the latents. Another row shows the one computed from the fields, where it is a
    function of them. The first sample and channel are drawn.
    """
    before, after = as_images(edited.before)[0], as_images(edited.after)[0]
    target = edited.targets[name]
    rows = {"read": (edited.read_before[name], target, edited.read_after[name])}
    if name in edited.computed_after:
        rows["computed"] = (edited.computed_before[name], target, edited.computed_after[name])
    quantity = {how: [as_images(y)[0] for y in row] for how, row in rows.items()}
    scale = shared_scale(*(field for row in quantity.values() for field in row))
    heights = [height_of(before.shape, EDITED)] + [height_of(row[0].shape, EDITED) for row in quantity.values()]
    with style():
        figure, (fields, *values) = image_grid([EDITED] * 3, heights, gaps=[0.12, 0.9, 0], row_gap=0.4)
        draw_row(figure, fields[:2], [before, after], shared_scale(before, after))
        draw_row(figure, fields[2:], [after - before], shared_scale(after - before, signed=True))
        for axes, (how, row) in zip(values, quantity.items(), strict=True):
            draw_row(figure, axes, row, scale)
            name_row(axes[0], f"{name}, {how}" if len(quantity) > 1 else name)
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


def _alternating(true: Array, decoded: Array) -> np.ndarray:
    """Return true and decoded fields alternating, (2 n, h, w)."""
    both = np.stack([as_images(true)[:SHOWN], as_images(decoded)[:SHOWN]], axis=1)
    return both.reshape(-1, *both.shape[2:])
