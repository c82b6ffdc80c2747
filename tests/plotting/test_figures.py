"""Figures that results draw of themselves: every cell says and shades the number it stands for."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from isospan._core.figures import ACCENT, GUIDED, draw_matrix, label, new_figure, stacked, style
from isospan._core.text import number
from isospan.evaluation import Evaluation
from isospan.plotting._figures import plot_cross_decodability, plot_threshold_sweep
from isospan.sizing import ThresholdSweep, threshold_sweep


def _evaluation(count: int) -> Evaluation:
    names = tuple(f"q{i}" for i in range(count))
    zeros = dict.fromkeys(names, 0.0)
    return Evaluation(
        names=names,
        subspace_r2=zeros,
        rank_k_probe_r2=zeros,
        linear_probe_r2=zeros,
        decoder_r2=zeros,
        cross_r2=torch.arange(count * count).reshape(count, count).double() / 100,
        target_r2=torch.full((count, count), 0.05, dtype=torch.float64),
        angles={},
        variance_share=zeros | {"free": 1.0},
        spectrum=torch.ones(3),
        n_samples=10,
    )


def _texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_cross_decodability_writes_the_three_matrices_row_by_row():
    cross, target, excess = plot_cross_decodability(_evaluation(2)).axes
    assert _texts(cross) == ["0.00", "0.01", "0.02", "0.03"]
    assert _texts(target) == ["–", "0.05", "0.05", "–"]
    assert _texts(excess) == ["–", "−0.04", "−0.03", "–"]


def test_leakage_has_the_colour_of_a_warning_and_its_absence_has_not():
    evaluation = replace(_evaluation(2), cross_r2=torch.tensor([[0.9, 0.2], [0.01, 0.9]]).double())
    figure = plot_cross_decodability(evaluation)
    figure.draw_without_rendering()  # cells get their colours when drawn
    cells = figure.axes[2].collections[0].get_facecolor()
    np.testing.assert_allclose(cells[1], [*to_rgb(ACCENT), (0.2 - 0.05) / 0.3])
    np.testing.assert_allclose(cells[2], [*to_rgb(GUIDED), (0.05 - 0.01) / 0.3])


@pytest.mark.parametrize("count", range(1, 9))
def test_cross_decodability_draws_any_number_of_quantities_without_a_warning(count):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = _evaluation(count).plot()
        figure.draw_without_rendering()
    assert len(figure.axes) == (1 if count == 1 else 3)


def test_a_single_quantity_gets_a_sentence_instead_of_matrices():
    (ax,) = plot_cross_decodability(_evaluation(1)).axes
    assert _texts(ax) == ["A single quantity has no other to leak into."]


def test_the_sweep_figure_shows_every_size():
    waves = torch.randn(200, 9) @ torch.randn(9, 256)
    sweep = threshold_sweep(
        {"waves": waves.reshape(200, 1, 16, 16)}, n_thresholds=[0.5, 0.9, 1.0], k_thresholds=[0.9, 1.0]
    )
    dimension, k = sweep.plot().axes
    assert _texts(dimension) == [str(D) for row in sweep.D for D in row]
    assert _texts(k) == [str(size) for row in sweep.k["waves"] for size in row]
    assert [tick.get_text() for tick in dimension.get_yticklabels()] == ["0.50", "0.90", "1.00"]
    assert [tick.get_text() for tick in k.get_yticklabels()] == [f"n = {n}" for n in sweep.n["waves"]]


@pytest.mark.parametrize("shape", [(1, 1), (11, 5), (3, 9)])
def test_the_sweep_figure_takes_any_grid_and_hostile_names(shape):
    rows, columns = shape
    k = tuple(tuple(range(1, columns + 1)) for _ in range(rows))
    names = ["$a$", "<b>", "a very long name that no axis has room for", "x\ny", "_hidden"]
    sweep = ThresholdSweep(
        n_thresholds=tuple(np.linspace(0.5, 0.995, rows)),
        k_thresholds=tuple(np.linspace(0.5, 0.995, columns)),
        n=dict.fromkeys(names, (2,) * rows),
        k=dict.fromkeys(names, k),
        D=k,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_threshold_sweep(sweep).draw_without_rendering()


def test_a_cell_has_the_colour_of_its_sign_and_the_opacity_of_its_size():
    with style():
        figure = new_figure(3, 3)
        ax = figure.subplots()
        draw_matrix(ax, np.array([[0.5, -0.25], [0.0, np.nan], [2.0, 1.0]]), rows="abc", columns="de")
        figure.draw_without_rendering()  # cells get their colours when drawn
    colours = ax.collections[0].get_facecolor().reshape(3, 2, 4)
    np.testing.assert_allclose(colours[0, 0], [*to_rgb(GUIDED), 0.5])
    np.testing.assert_allclose(colours[0, 1], [*to_rgb(ACCENT), 0.25])
    np.testing.assert_allclose(colours[..., 3], [[0.5, 0.25], [0, 0], [1, 1]])


def test_the_first_row_of_a_matrix_is_on_top():
    with style():
        ax = new_figure(3, 3).subplots()
        draw_matrix(ax, np.zeros((2, 3)), rows=["top", "bottom"], columns="abc")
    heights = {tick.get_text(): ax.transData.transform(tick.get_position())[1] for tick in ax.get_yticklabels()}
    assert heights["top"] > heights["bottom"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.856, "0.86"), (-0.5, "−0.50"), (-0.001, "0.00"), (float("nan"), "–"), (float("inf"), "–")]
)
def test_numbers_have_a_true_minus_no_negative_zero_and_a_dash_where_unknown(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("energy", "energy"),
        ("$x_1$", r"\$x_1\$"),
        ("a\n b\x00c", "a b c"),
        ("a name of twenty-nine letters", "a name of twenty-nine…"),
    ],
)
def test_labels_are_one_literal_line(name, text):
    assert label(name) == text


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("kinetic energy density", ["kinetic", "energy", "density"]),
        ("stream_function", ["stream_", "function"]),
        ("a b c", ["a b c"]),
        ("temperature anomaly", ["temperature", "anomaly"]),
        ("supercalifragilistic", ["supercalifra", "gilistic"]),
        ("$x$ $y$", [r"\$x\$ \$y\$"]),
        ("", [""]),
    ],
)
def test_stacked_names_break_after_words_and_underscores(name, lines):
    assert stacked(name, 12).split("\n") == lines


def test_the_style_ignores_the_users_settings_and_leaves_them_alone():
    import matplotlib

    with matplotlib.rc_context({"axes.grid": True, "font.size": 30, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        figure = plot_cross_decodability(_evaluation(2))
        assert dict(matplotlib.rcParams) == before
    assert figure.axes[0].yaxis.label.get_fontsize() == 9


def test_matplotlib_loads_only_when_something_is_drawn():
    code = (
        "import sys, isospan, isospan.guided, isospan.sizing, isospan.plotting._figures\n"
        "assert not {'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "import isospan.experiment.reports\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
