"""Fields as images in rows and columns, with shared colour scales."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from isospan._core.figures import INK, MUTED, stacked

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
LONGEST = 4.0
"""Largest aspect ratio of an image; a profile of height 1 is stretched to it."""
LEFT, RIGHT, TOP, BOTTOM = 1.25, 0.78, 0.3, 0.1
"""Margins in inches: for row names, the colour scale, column names, and an empty one."""
HANDY = (0.05, 1e4)
"""Colour scales with a largest value in this range have labels without a power of ten."""
Scale = tuple[str, Normalize]
Array: TypeAlias = np.ndarray | Tensor


def to_array(values: Array) -> np.ndarray:
    """Return a tensor or array, on any device and in any precision, as a float64 array.

    Example:
        >>> to_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
        array([1., 1.])
    """
    return torch.as_tensor(values).detach().cpu().double().numpy()


def as_images(values: Array) -> np.ndarray:
    """Return fields (B, C, h, w) or (B, h, w) as the images (B, h, w) of the first channel; series (B, S) as (B, 1, S).

    Example:
        >>> as_images(torch.zeros(2, 3, 6, 6)).shape, as_images(torch.zeros(2, 5)).shape
        ((2, 6, 6), (2, 1, 5))
    """
    array = to_array(values)
    return array[:, None, :] if array.ndim == 2 else array[:, 0] if array.ndim == 4 else array


def shared_scale(*fields: np.ndarray, signed: bool | None = None) -> Scale:
    """Return one colour map and range for all fields, symmetric about zero if they have both signs.

    Args:
        *fields: arrays of any shape; NaN and infinity are ignored.
        signed: True for a symmetric range, as for differences; by default the data decide.
    """
    finite = np.concatenate([field[np.isfinite(field)].ravel() for field in fields] or [np.zeros(0)])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if signed is None:
        signed = low < 0 < high and min(-low, high) > 0.15 * max(-low, high)
    if signed:
        limit = max(-low, high) or 1.0
        return DIVERGING, Normalize(-limit, limit)
    return SEQUENTIAL, Normalize(low, high if high > low else low + (abs(low) or 1.0))


def height_of(shape: tuple[int, ...], width: float) -> float:
    """Return the height in inches of an image (h, w) of this width."""
    return width * min(max(shape[0] / shape[1], 1 / LONGEST), LONGEST)


def image_grid(
    widths: Sequence[float], heights: Sequence[float], *, gaps: Sequence[float], row_gap: float = 0.12
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of axes in rows and columns, all sizes in inches.

    Args:
        widths: widths of the columns.
        heights: heights of the rows.
        gaps: gap to the right of each column.
        row_gap: gap below each row.
    """
    lefts = LEFT + np.cumsum([0, *np.add(widths, gaps)])
    tops = TOP + np.cumsum([0, *np.add(heights, row_gap)])
    width, height = lefts[-1] - gaps[-1] + RIGHT, tops[-1] - row_gap + BOTTOM
    figure = Figure(figsize=(width, height))
    boxes = [
        [(left / width, 1 - (top + h) / height, w / width, h / height) for left, w in zip(lefts, widths, strict=False)]
        for top, h in zip(tops, heights, strict=False)
    ]
    return figure, [[figure.add_axes(box) for box in row] for row in boxes]


def draw_field(ax: Axes, field: np.ndarray, scale: Scale) -> AxesImage:
    """Draw one field (h, w), first row on top, without interpolation. A field of one entry is also written."""
    cmap, norm = scale
    image = ax.imshow(field, cmap=cmap, norm=norm, interpolation="none", aspect="auto")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if field.size == 1:
        _write_number(ax, image, float(field.item()))
    return image


def draw_row(figure: Figure, axes: Sequence[Axes], fields: Sequence[np.ndarray], scale: Scale) -> None:
    """Draw fields side by side, with one colour bar to the right of the last. Unused axes are hidden."""
    for ax in axes[len(fields) :]:
        ax.set_axis_off()
    image = [draw_field(ax, field, scale) for ax, field in zip(axes, fields, strict=False)][-1]
    add_scale(figure, image, axes)


def add_scale(figure: Figure, image: AxesImage, axes: Sequence[Axes]) -> None:
    """Add one narrow colour bar to the right of axes with one scale."""
    boxes = [ax.get_position() for ax in axes]
    bottom, top, right = min(b.y0 for b in boxes), max(b.y1 for b in boxes), max(b.x1 for b in boxes)
    width, height = figure.get_size_inches()
    power = _power_of(image)
    power_height = 0.16 / height if power else 0
    cax = figure.add_axes((right + 0.1 / width, bottom, 0.09 / width, top - bottom - power_height))
    ticks = MaxNLocator(min(max(int(4 * height * (top - bottom - power_height)), 2), 5))
    bar = figure.colorbar(image, cax=cax, ticks=ticks, format=lambda value, _: _numeral(value / 10.0**power))
    bar.ax.spines[:].set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=2)
    if power:
        cax.text(0, 1, rf"$\times\,10^{{{power}}}$", size=7.5, color=MUTED, va="bottom", transform=cax.transAxes)


def name_columns(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """Write a heading above each of the axes."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(name, weight="normal", fontsize=8.5, color=MUTED, pad=4)


def name_row(ax: Axes, name: str) -> None:
    """Write a name to the left of the first axes of a row."""
    ax.annotate(
        stacked(name, 13),
        (0, 0.5),
        xycoords="axes fraction",
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
    )


def _power_of(image: AxesImage) -> int:
    """Return the power of ten to write above the scale; 0 for a range within HANDY."""
    largest = max(map(abs, image.get_clim()))
    return 0 if HANDY[0] <= largest < HANDY[1] or not largest else math.floor(math.log10(largest))


def _numeral(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _write_number(ax: Axes, image: AxesImage, value: float) -> None:
    red, green, blue, _ = image.to_rgba(np.array([value]))[0]
    dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
    ax.text(
        0, 0, _numeral(value) if np.isfinite(value) else "–", ha="center", va="center", color="white" if dark else INK
    )
