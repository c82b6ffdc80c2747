"""The tables that the commands print at the end."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from isospan.cli._messages import in_options

SHOWN_DIGITS = 5e-4
"""Smaller differences round to 0.000 and count as none."""


def sizes_table(sizes: Any) -> Table:
    """Resolution n and subspace dimension k of each quantity, the free dimensions, and D."""
    table = _table("quantity", "n", "k")
    for name, (n, k) in sizes.dims.items():
        table.add_row(Text(name), "–" if n is None else str(n), str(k))
    used = sum(sizes.k.values())
    table.add_row("free", "", str(max(0, sizes.latent_dim - used)), end_section=True)
    table.add_row("D", "", str(sizes.latent_dim))
    return table


def results_table(result: Any) -> Table:
    """R² of each quantity from its subspace and of the best rank-k probe, and the reconstruction error."""
    guided, unguided = result.guided, result.unguided
    columns = {"subspace": guided.evaluation.subspace_r2, "best rank-k probe": guided.evaluation.rank_k_probe_r2}
    if unguided:
        columns["without guidance"] = unguided.evaluation.rank_k_probe_r2
    table = _scores("held-out R²", guided.evaluation.names, columns)
    table.add_section()
    table.add_row(
        "reconstruction error (NMSE)", _error(guided.nmse), "", *([_error(unguided.nmse)] if unguided else [])
    )
    return table


def edits_table(edits: Any) -> Table:
    """R² of the change that decoded fields show, by edits of both kinds, with lengths of steps and side effects."""
    columns = {
        "linear": edits.linear_r2,
        "through the decoder": edits.decoded_r2,
        "step": edits.decoded_step,
        "side effect": edits.largest_side_effect,
    }
    return _scores(f"R² of {edits.n_samples} edits", edits.names, columns)


def evaluation_table(evaluation: Any) -> Table:
    """R² of each quantity by the stored decoder, and by the probes with enough samples."""
    columns = {
        "stored decoder": evaluation.decoder_r2,
        "subspace": evaluation.subspace_r2,
        "best rank-k probe": evaluation.rank_k_probe_r2,
        "full linear probe": evaluation.linear_probe_r2,
    }
    measured = {heading: r2 for heading, r2 in columns.items() if any(value == value for value in r2.values())}
    return _scores(f"R² on {evaluation.n_samples} samples", evaluation.names, measured)


def notes(evaluation: Any) -> list[str]:
    """Notes on subspaces with too small k, on the accuracy of class labels, and on probes that overfit."""
    too_small = [f"Warning: {in_options(note)}" for note in evaluation.left_out_notes]
    return [*too_small, *evaluation.accuracy_notes, *filter(None, [probe_note(evaluation)])]


def probe_note(evaluation: Any) -> str:
    """A note where a probe overfits, that is, scores less than a probe of fewer inputs; else empty."""
    best = (evaluation.rank_k_probe_r2, evaluation.linear_probe_r2)
    if not any(r2[name] < evaluation.subspace_r2[name] - SHOWN_DIGITS for r2 in best for name in evaluation.names):
        return ""
    return "A probe of the whole latent with a lower R² than the subspace overfits: it has more coefficients to fit."


def _scores(first: str, names: Iterable[str], columns: Mapping[str, Mapping[str, float]]) -> Table:
    table = _table(first, *columns)
    for name in names:
        table.add_row(Text(name), *(_score(r2[name]) for r2 in columns.values()))
    return table


def _score(value: float) -> str:
    return f"{value:.3f}" if value == value else "–"


def _error(value: float) -> str:
    return f"{value:.4f}" if value < 1000 else f"{value:.2g}"


def _table(first: str, *columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
