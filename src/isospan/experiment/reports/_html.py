"""The report: one self-contained HTML file, the figures as PNG, and the numbers as JSON."""

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from isospan._core.files import PathLike, atomic_path
from isospan._core.text import duration, number
from isospan.experiment._run_summary import RunSummary
from isospan.experiment.reports import figures
from isospan.experiment.reports._cards import failures, report_cards
from isospan.experiment.reports._export import remove_earlier, to_svg, write_png
from isospan.experiment.reports._metrics import metrics_of, plain, to_json
from isospan.plotting import plot_cross_decodability, plot_drift, plot_edits, plot_threshold_sweep

TITLES = {
    "r2": "R² of each quantity from its subspace, with the best rank-k probe",
    "decoded": "True and decoded fields side by side",
    "intervals": "Decoded against true values, with error bars",
    "reconstructions": "Inputs, reconstructions and errors",
    "edits": "Fidelity, side effects and specificity of edits",
    "edit": "One edit of a quantity",
    "cross_decodability": "R² of each quantity from the subspace of each other",
    "angles": "Principal angles between the subspaces",
    "shares": "Explained variance of the latent by each subspace",
    "spectrum": "Standard deviations along the principal axes of the free part",
    "losses": "Loss terms over the steps of training",
    "drift": "Angles by which the subspaces rotated, and R², over the steps of training",
    "sweep": "Latent dimension over both thresholds",
}
SOURCE = "report.html"


def write_report(summary: RunSummary, out_dir: PathLike) -> Path:
    """Write ``report.html``, ``metrics.json`` and ``figures/*.png`` into a directory, and return the report's path.

    The HTML file contains the figures and loads nothing. Every file is written atomically, and the same summary gives
    the same bytes. Figures of an earlier report in the directory that this one does not have are removed.

    Args:
        summary: the data of the report.
        out_dir: created if it does not exist; files of the same names are replaced.
    """
    out = Path(out_dir)
    drawn = draw_figures(summary)
    images = {out / "figures" / f"{name}.png": figure for name, figure in drawn.items()}
    for path, figure in images.items():
        write_png(path, figure, source=SOURCE)
    # file names with undecodable bytes contain surrogates, such as \udcff, which JSON can escape
    _write(out / "metrics.json", to_json(metrics_of(summary)).encode(errors="backslashreplace"))
    _write(out / "report.html", render_html(summary, drawn).encode(errors="backslashreplace"))
    remove_earlier((out / "figures").glob("*.png"), source=SOURCE, kept=images)
    return out / "report.html"


def report_paths(out_dir: PathLike, *, edits: int) -> list[Path]:
    """Return the paths of all files that :func:`write_report` may write, with this number of edits.

    Example:
        >>> [path.as_posix() for path in report_paths("run", edits=1)][:3]
        ['run/report.html', 'run/metrics.json', 'run/figures/r2.png']
    """
    names = [name for name in TITLES if name != "edit"] + [f"edit_{i}" for i in range(1, edits + 1)]
    return [Path(out_dir) / file for file in ("report.html", "metrics.json", *(f"figures/{n}.png" for n in names))]


def draw_figures(summary: RunSummary) -> dict[str, Figure]:
    """Return the figures for which the summary has data, by name."""
    guided, unguided = summary.guided, summary.unguided
    drawn = {
        "r2": figures.r2_bars(guided, unguided),
        "shares": figures.variance_shares(guided, _isotropic_shares(summary)),
        "spectrum": figures.isotropy_spectrum(guided, unguided),
    }
    if len(guided.names) > 1:
        drawn |= {"cross_decodability": plot_cross_decodability(guided), "angles": figures.principal_angles(guided)}
    if summary.history is not None:
        drawn["losses"] = figures.loss_curves(summary.history, summary.unguided_history)
    if summary.drift is not None and len(summary.drift):
        drawn["drift"] = plot_drift(summary.drift)
    if summary.decoded:
        drawn["decoded"] = figures.decoded_fields(summary.decoded)
    if "guided" in summary.edit_scores:
        drawn["edits"] = plot_edits(summary.edit_scores["guided"])
    if summary.intervals:
        drawn["intervals"] = figures.decoded_intervals(summary.intervals)
    if summary.reconstructions:
        drawn["reconstructions"] = figures.reconstructions(summary.reconstructions)
    if summary.sweep is not None:
        drawn["sweep"] = plot_threshold_sweep(summary.sweep)
    edits = enumerate(summary.edits.items(), start=1)
    return drawn | {f"edit_{i}": figures.edit_panel(edited, name) for i, (name, edited) in edits}


def render_html(summary: RunSummary, drawn: dict[str, Figure]) -> str:
    """Return the page as text. All names and settings are escaped."""
    environment = Environment(
        loader=PackageLoader("isospan.experiment.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "setting": _setting, "duration": duration}
    svgs = {
        name: Markup(to_svg(figure, name=name, title=TITLES["edit" if name.startswith("edit_") else name]))
        for name, figure in drawn.items()
    }
    return environment.get_template("report.html.j2").render(
        run=summary, figures=svgs, cards=report_cards(summary), failures=failures(summary), angles=_angle_rows(summary)
    )


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _isotropic_shares(summary: RunSummary) -> dict[str, float]:
    """Return the explained variance k/D of each subspace of an isotropic latent."""
    total = summary.latent_dim
    shares = {name: k / total for name, (_, k) in summary.dims.items()}
    return shares | {"free": max(0.0, 1 - sum(shares.values()))}


def _angle_rows(summary: RunSummary) -> list[tuple[str, str, float, float, float]]:
    """Return each pair with its smallest, mean and largest principal angle in degrees."""
    pairs = {pair: angles.double().numpy() for pair, angles in summary.guided.angles.items() if len(angles)}
    return [(a, b, float(x.min()), float(x.mean()), float(x.max())) for (a, b), x in pairs.items()]


def _number(value: float | None, digits: int = 3) -> str:
    return number(np.nan if value is None else float(value), digits=digits)


def _setting(value: Any) -> str:
    """Return a setting as readable text."""
    value = plain(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(_setting, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)
