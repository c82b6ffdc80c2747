"""The numbers of the first screen, and the sentences."""

from dataclasses import replace

import pytest
import torch

from isospan.evaluation import UseEvaluation
from isospan.experiment.reports._cards import failures, report_cards


def test_the_three_numbers(summary):
    run = summary(2)
    first, second = run.guided.names
    guided = replace(
        run.guided,
        subspace_r2={first: 0.8, second: 0.9},
        rank_k_probe_r2={first: 0.85, second: 0.91},
        cross_r2=torch.tensor([[0.8, 0.35], [0.2, 0.9]], dtype=torch.float64),
        target_r2=torch.tensor([[1.0, 0.25], [0.25, 1.0]], dtype=torch.float64),
    )
    unguided = replace(run.unguided, rank_k_probe_r2={first: 0.5, second: 0.6})
    run = replace(run, guided=guided, unguided=unguided, nmse={"guided": 0.045, "unguided": 0.05})
    reading, task, leakage = report_cards(run)
    assert (reading.value, reading.detail) == ("0.85", "best rank-k probe 0.88, without guidance 0.55")
    assert (task.value, task.detail) == ("0.0450", "without guidance 0.0500, lowered by 10 %")
    assert (leakage.value, leakage.detail) == ("0.10", f"{first}, read from the subspace of {second}")


def test_edits_stand_beside_reading(summary, edit_scores):
    scores = {"guided": edit_scores(2), "unguided": edit_scores(2, decoded=0.6)}
    reading, editing, *_ = report_cards(replace(summary(2), edit_scores=scores))
    assert reading.name.startswith("Read")
    assert editing.value == "0.91"
    assert editing.detail == "through the decoder; by one matrix product 0.11, without guidance 0.61"
    alone = report_cards(replace(summary(2), edit_scores={"guided": edit_scores(2)}))[1]
    assert alone.detail == "through the decoder; by one matrix product 0.11"


def test_a_latent_that_is_not_used_is_said(summary):
    used = UseEvaluation(error=0.1, mean_error=1.0, replaced_error={}, erased_error={}, n_samples=64)
    idle = replace(used, mean_error=0.1)
    assert failures(replace(summary(1), use=used)) == []
    assert "hardly uses its latent" in failures(replace(summary(1), use=idle))[0]


@pytest.mark.parametrize(
    ("guided", "change"),
    [(0.06, "without guidance 0.0500, raised by 20 %"), (0.0501, "without guidance 0.0500, did not change")],
)
def test_the_cost_is_said_as_it_is(summary, guided, change):
    assert report_cards(replace(summary(1), nmse={"guided": guided, "unguided": 0.05}))[1].detail == change


def test_without_an_unguided_network_nothing_is_compared(summary):
    run = summary(1, unguided=False)
    reading, task, leakage = report_cards(run)
    assert "without guidance" not in reading.detail + task.detail
    assert (leakage.value, leakage.detail) == ("–", "a single quantity has no leakage")


def test_leakage_that_no_probe_could_tell_is_not_said_to_be_of_a_single_quantity(summary):
    run = summary(2)
    unknown = replace(run.guided, cross_r2=torch.full((2, 2), float("nan"), dtype=torch.float64))
    *_, leakage = report_cards(replace(run, guided=unknown))
    assert (leakage.value, leakage.detail) == ("–", "too few samples to measure it")


def test_unknown_numbers_are_left_out_of_means(summary):
    run = summary(3, spoilt=True)
    known = [value for value in run.guided.subspace_r2.values() if value == value]
    assert report_cards(run)[0].value == f"{sum(known) / len(known):.2f}"


def test_nothing_known_at_all(summary):
    run = summary(1)
    unknown = replace(run.guided, subspace_r2={"stream function": float("nan")})
    assert report_cards(replace(run, guided=unknown, nmse={}))[0].value == "–"
    assert failures(replace(run, guided=unknown, nmse={})) == []


def test_what_failed_is_said_first_and_plainly(summary):
    run = summary(2, unguided=False)
    first, second = run.guided.names
    run = replace(run, guided=replace(run.guided, subspace_r2={first: -0.5, second: 0.9}), nmse={"guided": 1.9e14})
    assert report_cards(run)[1].value == "1.9e+14"
    assert failures(run) == [
        f"Not readable from the latent: {first}, with R² −0.50, where 0 is no better than the mean.",
        "The reconstruction failed: its error is 1.9e+14 of the variance, no better than the mean field.",
    ]


def test_nothing_failed(summary):
    assert failures(summary(2)) == []


def test_leakage_that_is_known_in_part_says_so(summary):
    run = summary(2)
    cross = run.guided.cross_r2.clone()
    cross[0, 1] = float("nan")
    leakage = report_cards(replace(run, guided=replace(run.guided, cross_r2=cross)))[-1]
    assert leakage.value != "–"
    assert leakage.detail.endswith("other pairs have too few samples")


@pytest.mark.parametrize(("r2", "fails"), [(0.049, True), (0.051, False), (0.4, False)])
def test_a_quantity_is_not_read_below_five_percent(summary, r2, fails):
    """An R² of 0.4 is poor, and is shown as a number and not as a failure."""
    run = summary(2)
    first, second = run.guided.names
    run = replace(run, guided=replace(run.guided, subspace_r2={first: r2, second: 0.9}))
    assert (
        any(f"Not readable from the latent: {first}, with R² 0.05" in sentence for sentence in failures(run)) == fails
    )
