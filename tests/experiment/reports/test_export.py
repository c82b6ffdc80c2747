"""Figures as bytes."""

import re
import xml.etree.ElementTree as ET

import pytest

from isospan._core.figures import GUIDED, INK
from isospan.experiment.reports._export import to_png, to_svg
from isospan.experiment.reports.figures import decoded_fields, loss_curves, r2_bars
from isospan.plotting import plot_cross_decodability


@pytest.fixture(params=["bars", "matrix", "images", "curves"])
def figure(request, evaluation, pairs, history):
    return {
        "bars": lambda: r2_bars(evaluation(8)),
        "matrix": lambda: plot_cross_decodability(evaluation(3)),
        "images": lambda: decoded_fields(pairs(1, samples=1)),
        "curves": lambda: loss_curves(history()),
    }[request.param]()


def test_png_has_the_size_of_the_figure_and_is_the_same_every_time(figure):
    png = to_png(figure, dpi=40)
    width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    assert png.startswith(b"\x89PNG")
    # Matplotlib rounds pixels down.
    assert (width, height) == tuple(int(40 * inches + 1e-9) for inches in figure.get_size_inches())
    assert to_png(figure, dpi=40) == png


def test_svg_is_one_well_formed_element_that_refers_to_nothing_outside(figure):
    svg = to_svg(figure, name="one", title='a "title" & <more>')
    root = ET.fromstring(svg)
    assert root.attrib["aria-label"] == 'a "title" & <more>'
    assert "http" not in svg
    references = re.findall(r'href="([^"]*)"', svg) + re.findall(r"url\(([^)]*)\)", svg)
    assert all(reference.startswith(("#one-", "data:image/png;base64,")) for reference in references)
    identifiers = re.findall(r'\bid="([^"]*)"', svg)
    assert all(identifier.startswith("one-") for identifier in identifiers)
    assert {reference[1:] for reference in references if reference.startswith("#")} <= set(identifiers)


def test_svg_is_the_same_every_time(figure):
    assert to_svg(figure, name="one", title="") == to_svg(figure, name="one", title="")


def test_svg_leaves_its_colours_to_the_page(evaluation):
    svg = to_svg(r2_bars(evaluation(2)), name="one", title="")
    assert f"var(--guided, {GUIDED})" in svg
    assert f"var(--ink, {INK})" in svg
    assert not re.search(rf"(?<!, ){GUIDED}", svg)


def test_svg_has_a_clear_background(figure):
    assert "#ffffff" not in re.findall(r"<path[^>]*/>", to_svg(figure, name="one", title=""))[0]
