"""How Sphinx builds the documentation."""

import inspect
import pkgutil
import re
from importlib import import_module
from typing import Generic

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

import isospan
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

# Every reference has a target, but for those to other libraries: their inventories would have to be downloaded.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|concurrent|lightning|matplotlib|numpy|os|pandas|pathlib|torch|transformers)\..*"),
    (r"py:class", r"Axes|DataFrame|Edits|Figure|ProcessGroup|Record|Scores|Sweep"),  # unread annotations
]


def setup(app: Sphinx) -> None:
    """Show public paths; render formulas as MathML, which browsers show without a script; keep texts as they are."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.connect("autodoc-process-docstring", _keep_texts, priority=100)
    app.connect("autodoc-process-signature", _shorten_defaults)
    app.connect("autodoc-process-bases", _show_public_bases)
    app.connect("doctree-read", _refer_to_public_paths)


def _public_paths() -> dict[str, str]:
    """The path to import it from, for the path where each class and function is defined and for each shortcut to it."""
    modules = [
        name
        for _, name, is_package in pkgutil.walk_packages(isospan.__path__, "isospan.")
        if is_package and "._" not in name and not name.startswith("isospan.compat")
    ]
    modules.sort(key=lambda name: name.count("."))
    paths = {}
    for package in [*map(import_module, modules), isospan]:
        for name in package.__all__:
            value, path = getattr(package, name), f"{package.__name__}.{name}"
            if inspect.isclass(value) or inspect.isfunction(value):
                paths[path] = paths.setdefault(f"{value.__module__}.{value.__qualname__}", path)
    return paths


PUBLIC = _public_paths()


def _shorten_defaults(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write a default that is a function as "...": its representation is no Python, and would leave all unread."""
    return signature and re.sub(r"= <.*?>+(?=[,)])", "= ...", signature), returns


def _show_public_bases(_app: Sphinx, _name: str, _object: object, _options: object, bases: list[type]) -> None:
    """Show the public bases of a private base instead of it."""
    bases[:] = dict.fromkeys(public for base in bases for public in _public_bases(base)) or [object]


def _public_bases(base: type) -> list[type]:
    origin = getattr(base, "__origin__", base)
    path = f"{origin.__module__}.{origin.__qualname__}"
    if origin is Generic:
        return []
    if not path.startswith("isospan.") or path in PUBLIC or "._" not in path:
        return [base]
    return [public for above in origin.__bases__ if above is not object for public in _public_bases(above)]


def _refer_to_public_paths(_app: Sphinx, doctree: nodes.document) -> None:
    """Refer to what is public by its public path; a signature names a private type without a reference."""
    for reference in list(doctree.findall(pending_xref)):
        target = reference.get("reftarget", "")
        reference["reftarget"] = PUBLIC.get(target, target)
        if "._" in reference["reftarget"] and target.startswith("isospan.") and _in_signature(reference):
            reference.replace_self(nodes.Text(target.rpartition(".")[2]))


def _in_signature(node: nodes.Node) -> bool:
    return node.parent is not None and (isinstance(node.parent, desc_signature) or _in_signature(node.parent))


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


def _keep_texts(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Write a lone "D." as a formula, as text it would begin an enumeration; read nothing before a colon as a type.

    What a function returns and a property is are annotated, so the text before a colon there is text, too.
    """
    lines[:] = [re.sub(r"^(\s*\w+: |)([A-Z])\.$", r"\1:math:`\2`.", line) for line in lines]
    above = ["Returns:" if what in {"attribute", "data", "property"} else "", *lines]
    lines[:] = [
        re.sub(r"^(\s*)", r"\1: ", line) if before.strip() == "Returns:" else line
        for before, line in zip(above, lines, strict=False)
    ]
