"""Figures as PNG files and, in the colours of the page, as SVG for HTML."""

import io
import re
from collections.abc import Collection, Iterable
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from isospan._core import figures as look
from isospan._core.files import atomic_path

THEMED = {
    look.INK: "--ink",
    look.MUTED: "--muted",
    look.GRID: "--grid",
    look.SURFACE: "--surface",
    look.GUIDED: "--guided",
    look.UNGUIDED: "--unguided",
    look.ACCENT: "--accent",
}
"""Colours of the figures, and the CSS variables with which a page redefines them."""
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""Without a date, the same data give the same file."""
HEADER_BYTES = 8192
"""The mark of a PNG file is within this number of bytes."""


def write_png(path: Path, figure: Figure, *, source: str) -> None:
    """Write a figure as PNG, with a mark that names the file and its source.

    Args:
        path: path of the file, replaced if it exists.
        figure: any figure of this package.
        source: name of the result that the figure belongs to; see :func:`remove_earlier`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_png(figure, mark=_mark(path, source)))


def remove_earlier(paths: Iterable[Path], *, source: str, kept: Collection[Path] = ()) -> None:
    """Remove the files that :func:`write_png` wrote for this source, except those that are kept.

    Files of another origin stay, as do copies under another name: their mark does not name them.
    """
    for path in paths:
        if path not in kept and path.is_file() and _is_marked(path, source):
            path.unlink()


def to_png(figure: Figure, *, dpi: int = 200, mark: str | None = None) -> bytes:
    """Return a figure as PNG on white, with a mark in its metadata. Its layout is fixed from then on.

    Example:
        >>> to_png(look.empty_figure("nothing"))[1:4]
        b'PNG'
    """
    with look.style():
        _fix_layout(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None, "Source": mark})
    return buffer.getvalue()


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Text is drawn as outlines, so no font is needed. The background is transparent, and text, lines and bars have the
    colours of the page (:data:`THEMED`). The element has no external references.

    Args:
        figure: any figure of this package.
        name: letters, digits and underscores; makes the identifiers of the figures on a page unique.
        title: description of the figure for screen readers.

    Example:
        >>> to_svg(look.empty_figure("nothing"), name="a", title="Nothing")[:50]
        '<svg role="img" aria-label="Nothing" style="max-wi'
    """
    with look.style(), rc_context({"svg.hashsalt": name}):
        _fix_layout(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    return _for_html(buffer.getvalue(), figure.get_figwidth(), name, title)


def _mark(path: Path, source: str) -> str:
    """Return the mark in ASCII, since file names may contain bytes that are no text."""
    return f"isospan: {path.name} of {source}".encode("ascii", "backslashreplace").decode()


def _is_marked(path: Path, source: str) -> bool:
    content = b"Source\0" + _mark(path, source).encode()
    with path.open("rb") as file:
        return len(content).to_bytes(4) + b"tEXt" + content in file.read(HEADER_BYTES)


def _fix_layout(figure: Figure) -> None:
    """Lay out the figure once: a second pass takes as long as drawing, and would shift the axes slightly."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def _for_html(svg: str, inches: float, name: str, title: str) -> str:
    drawing = svg[svg.index("<svg") :]
    opening, content = drawing[: drawing.index(">")], drawing[drawing.index(">") + 1 :]
    view_box = re.search(r'viewBox="[^"]*"', opening)
    content = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", content, flags=re.DOTALL)
    content = content.replace("xlink:href=", "href=")
    content = _with_unique_identifiers(content, name)
    content = re.sub("|".join(THEMED), lambda colour: f"var({THEMED[colour[0]]}, {colour[0]})", content)
    # 96 CSS pixels are one inch
    style = f"max-width: {96 * inches:.0f}px"
    return f'<svg role="img" aria-label="{escape(title)}" style="{style}" {view_box[0] if view_box else ""}>{content}'


def _with_unique_identifiers(content: str, name: str) -> str:
    """Remove unused identifiers, and prefix the others with the name of the figure."""
    used = set(re.findall(r'(?:href="|url\()#([^")]*)', content))
    content = re.sub(r'\sid="([^"]*)"', lambda found: found[0] if found[1] in used else "", content)
    return re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", content)
