"""What a run shows: a bar that fits on a terminal, lines elsewhere, nothing from other ranks."""

import io
import re
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from isospan.cli import _terminal
from isospan.cli._messages import in_options
from isospan.cli._tables import edits_table, evaluation_table, notes, probe_note
from isospan.cli._terminal import TerminalReporter, drift_line, format_losses

LOSSES = {"task": 0.123456, "guidance": 0.25, "alignment": 0.25, "weight": 0.01}


def show(monkeypatch, *, terminal, width=80, steps=300, quiet=False):
    """Report a run of two networks, and return the text that was drawn."""
    clock = iter(range(10_000))
    monkeypatch.setattr(_terminal.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, highlight=False, quiet=quiet)
    monkeypatch.setattr(_terminal, "console", console)
    with TerminalReporter() as reporter:
        reporter.stage("Training, guided")
        reporter.planned({"guided": steps, "unguided": steps})
        for network in ("guided", "unguided"):
            for step in range(1, steps + 1):
                reporter.stepped(network, 1 + step // 10, step, steps, LOSSES)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_a_bar_with_time_left_and_losses_fits_on_eighty_columns(monkeypatch):
    text = show(monkeypatch, terminal=True)
    last = re.split(r"[\r\n]", text.strip())[-1]
    assert re.fullmatch(r"unguided, epoch 31 ━+ 100% \d\d:\d\d left task 0.123 guidance 0.250 R² 0.750\s*", last)
    assert "…" not in text


def test_without_a_terminal_lines_come_now_and_then(monkeypatch):
    lines = show(monkeypatch, terminal=False, width=200).splitlines()
    assert lines[0] == "Training, guided"
    assert lines[-1].startswith("unguided, epoch 31: 600 of 600 steps, 0 s left, task 0.123")
    assert 10 < len(lines) < 100
    # the clock ticks once a step, so of 600 steps at the 301st there are 299 seconds left
    halfway = next(line for line in lines if int(re.findall(r"(\d+) of", line or "")[0] if " of " in line else 0) > 300)
    done = int(re.findall(r"(\d+) of 600", halfway)[0])
    left = re.findall(r"(\d+) min (\d+) s left", halfway)[0]
    assert 60 * int(left[0]) + int(left[1]) == 600 - done


def test_other_ranks_are_silent(monkeypatch):
    assert show(monkeypatch, terminal=True, quiet=True) == show(monkeypatch, terminal=False, quiet=True) == ""


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ({"task": 0.5}, "task 0.5"),
        ({"task": 1.2e-5, "guidance": 0.1}, "task 1.2e-05 guidance 0.100"),
        (LOSSES, "task 0.123 guidance 0.250 R² 0.750"),
    ],
)
def test_losses(losses, text):
    assert format_losses(losses) == text


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Name one with variable=NAME. The", "Name one with --variable NAME. The"),
        ("fill must be a finite number", "--fill must be a finite number"),
        ("Pass fill=VALUE to", "Pass --fill VALUE to"),
        ("Pass one of these as sample_dim.", "Pass one of these as --sample-dim."),
        ("on a periodic box only, got periodic=False.", "on a periodic box only, got --no-periodic."),
        ("or smaller k, or orthogonal=False.", "or smaller k, or no --orthogonal."),
        ("or train with orthogonal=True.", "or train with --orthogonal."),
        ("Lower the learning rate (lr=0.0003), or", "Lower the learning rate (--learning-rate 0.0003), or"),
        ("got 3. Pass fit=(z, y) of other data.", "got 3. Pass files of more samples."),
        ("encoder=CLASS, such as encoder='x.py:E'.", "--encoder module:Class, such as --encoder x.py:E."),
        ("such as encoder='my nets.py:E'.", "such as --encoder 'my nets.py:E'."),
        ("Each of n_thresholds must be", "--bin-threshold must be"),
        ("Each of k_thresholds must be", "--k-threshold must be"),
        ("'max_bins' is a quantity of b_max_bins", "'--max-bins' is a quantity of b_max_bins"),
    ],
)
def test_messages_name_options_and_not_arguments(message, said):
    assert in_options(message) == said


def evaluation(own, best):
    """Scores of one quantity."""
    from isospan.evaluation._evaluation import Evaluation

    scores = ({"a": own}, {"a": best}, {"a": best}, {"a": 0.9})
    return Evaluation(("a",), *scores, torch.ones(1, 1), torch.ones(1, 1), {}, {}, torch.ones(1), 16)


def test_the_stored_decoder_comes_first_and_probes_that_were_left_out_have_no_column():
    nan = float("nan")
    assert [column.header for column in evaluation_table(evaluation(nan, nan)).columns] == [
        "R² on 16 samples",
        "stored decoder",
    ]
    assert len(evaluation_table(evaluation(0.8, 0.7)).columns) == 5


def test_edits_have_a_table_of_their_own():
    from isospan.evaluation import EditEvaluation

    scores = ({"a": 0.1}, {"a": 0.2}, {"a": 0.3}, {"a": 0.4}, {"a": 0.95}, {"a": 0.6})
    matrix = torch.full((1, 1), float("nan"))
    table = edits_table(EditEvaluation(("a",), *scores, matrix, matrix, matrix, 64))
    assert [column.header for column in table.columns] == [
        "R² of 64 edits",
        "linear",
        "through the decoder",
        "step",
        "side effect",
    ]
    assert [next(column.cells) for column in table.columns[1:]] == ["0.200", "0.950", "0.600", "–"]


@pytest.mark.parametrize(
    ("subspace", "probe", "said"), [(0.8, 0.7, True), (0.7, 0.8, False), (float("nan"), 0.7, False)]
)
def test_a_probe_below_the_subspace_is_explained(subspace, probe, said):
    assert bool(probe_note(evaluation(subspace, probe))) == said


@pytest.mark.parametrize(
    ("best", "probe", "said"),
    [
        (
            0.84,
            0.97,
            [
                "Warning: a: k = 10 leaves out 0.13, since the best rank-k probe has R² 0.84 and the full linear "
                "probe 0.97. Raise it with --k-threshold, or for latents with -k NAME=K."
            ],
        ),
        (0.84, 0.88, []),
        (float("nan"), float("nan"), []),
        (0.97, 0.84, []),
    ],
)
def test_a_k_that_is_too_small_is_said(best, probe, said):
    scored = replace(evaluation(0.8, best), linear_probe_r2={"a": probe}, k={"a": 10})
    assert [note for note in notes(scored) if "leaves out" in note] == said


class Drift:
    def to_dict(self):
        return {"angles": {"a": [[], [89.0], [50.0, 30.0]], "b": [[], [0.2], [12.0]]}}


@pytest.mark.parametrize("terminal", [True, False])
def test_drift_is_drawn_below_the_bar_on_a_terminal_only(monkeypatch, terminal):
    stream = io.StringIO()
    monkeypatch.setattr(_terminal, "console", Console(file=stream, force_terminal=terminal, width=80, highlight=False))
    with TerminalReporter() as reporter:
        reporter.planned({"guided": 2})
        reporter.monitored("guided", Drift())
        reporter.stepped("guided", 1, 1, 2, LOSSES)
        reporter.stepped("guided", 1, 2, 2, LOSSES)
    assert ("rotated by  a █▅ 50°  b ▁▂ 12°" in stream.getvalue()) == terminal


def test_nothing_moved_before_the_second_solve():
    assert drift_line({"a": [[]]}) == ""
