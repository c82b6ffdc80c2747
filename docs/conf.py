"""How Sphinx builds the documentation."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

from isospan import __version__

logger = getLogger(__name__)

project = "isospan"
author = "isospan contributors"
copyright = "2026, isospan contributors"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"isospan {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "references")]
python_use_unqualified_type_names = True
html_math_renderer = "mathml"


def setup(app: Sphinx) -> None:
    """Render formulas as MathML, which browsers show without a script from elsewhere; keep letters from being lists."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.connect("autodoc-process-docstring", _keep_letters, priority=100)


def _visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div style="overflow: auto hidden">{_mathml(node, "block")}</div>')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, display: str) -> str:
    tex = re.sub(r"\\[bB]igg?[lr]?(?=\\)", "", node.astext()).replace(r"\arg", r"\operatorname{arg}")
    mathml = convert(tex, display=display)
    if "\\" in mathml:
        logger.warning("a command of this formula has no MathML: %s", node.astext(), location=node)
    return mathml


def _keep_letters(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Write a lone "D." as a formula: as text it would begin an enumeration."""
    lines[:] = [re.sub(r"^(\s*\w+: |)([A-Z])\.$", r"\1:math:`\2`.", line) for line in lines]
