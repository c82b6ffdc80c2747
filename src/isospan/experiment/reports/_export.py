"""Turning figures into bytes: PNG for files, SVG that follows the theme of the page for HTML."""

import io
import re
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from isospan.plotting import _style as look

THEMED = {
    look.INK: "--ink",
    look.MUTED: "--muted",
    look.GRID: "--grid",
    look.SURFACE: "--surface",
    look.GUIDED: "--guided",
    look.UNGUIDED: "--unguided",
    look.ACCENT: "--accent",
}
"""Colours of the figures that a page may redefine by CSS variables of these names."""
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""Without a date, the same data give the same file."""


def to_png(figure: Figure, *, dpi: int = 200) -> bytes:
    """Return a figure as PNG on white; its layout stays as it is from then on.

    Example:
        >>> to_png(look.empty_figure("nothing"))[1:4]
        b'PNG'
    """
    with look.style():
        _settle(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an ``<svg>`` element to be placed inside an HTML page.

    Text is drawn as outlines, so it needs no font; the background is clear and the colours of text, lines and bars
    follow the page (:data:`THEMED`). Nothing in it refers to anything outside.

    Args:
        figure: any figure of this package.
        name: letters, digits and underscores; keeps the identifiers of several figures on a page apart.
        title: what the figure shows, for readers who cannot see it.

    Example:
        >>> to_svg(look.empty_figure("nothing"), name="a", title="Nothing")[:50]
        '<svg role="img" aria-label="Nothing" style="max-wi'
    """
    with look.style(), rc_context({"svg.hashsalt": name}):
        _settle(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    return _for_html(buffer.getvalue(), figure.get_figwidth(), name, title)


def _settle(figure: Figure) -> None:
    """Lay the figure out once: a second pass would move its parts by a hair, and takes as long as drawing."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def _for_html(svg: str, inches: float, name: str, title: str) -> str:
    drawing = svg[svg.index("<svg") :]
    opening, content = drawing[: drawing.index(">")], drawing[drawing.index(">") + 1 :]
    view_box = re.search(r'viewBox="[^"]*"', opening)
    content = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", content, flags=re.DOTALL)
    content = content.replace("xlink:href=", "href=")
    content = _keep_identifiers_apart(content, name)
    content = re.sub("|".join(THEMED), lambda colour: f"var({THEMED[colour[0]]}, {colour[0]})", content)
    # 96 pixels of the page are an inch.
    style = f"max-width: {96 * inches:.0f}px"
    return f'<svg role="img" aria-label="{escape(title)}" style="{style}" {view_box[0] if view_box else ""}>{content}'


def _keep_identifiers_apart(content: str, name: str) -> str:
    """Drop identifiers that nothing refers to, and put the name of the figure before the others."""
    used = set(re.findall(r'(?:href="|url\()#([^")]*)', content))
    content = re.sub(r'\sid="([^"]*)"', lambda found: found[0] if found[1] in used else "", content)
    return re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", content)
