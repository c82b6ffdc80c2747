"""Numbers as strict JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isospan.experiment.reports._metrics import metrics_of, plain, to_json


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("unguided", [True, False])
@pytest.mark.parametrize("spoilt", [True, False])
def test_metrics_round_trip_through_strict_json(summary, count, unguided, spoilt):
    metrics = metrics_of(summary(count, unguided=unguided, spoilt=spoilt))
    assert json.loads(to_json(metrics), parse_constant=_refuse) == metrics


def test_metrics_hold_what_was_measured(summary):
    run = summary(3)
    metrics = metrics_of(run)
    assert metrics["guided"]["subspace_r2"] == run.guided.subspace_r2
    assert metrics["unguided"]["rank_k_probe_r2"] == run.unguided.rank_k_probe_r2
    assert metrics["guided"]["cross_r2"] == run.guided.cross_r2.tolist()
    assert metrics["nmse"] == run.nmse
    assert metrics["history"]["terms"] == run.history.losses
    assert metrics["dims"][run.guided.names[0]] == {"n": 6, "k": 12}
    assert (metrics["latent_dim"], metrics["schema"]) == (122, 1)


def test_each_network_has_its_own_history(summary):
    run = summary(1)
    unguided = replace(
        run.history, losses={name: [2 * v for v in values] for name, values in run.history.losses.items()}
    )
    metrics = metrics_of(replace(run, unguided_history=unguided))
    assert metrics["history"]["terms"] == run.history.losses
    assert metrics["unguided_history"]["terms"] == unguided.losses
    assert metrics["unguided_history"]["terms"] != metrics["history"]["terms"]


def test_what_is_not_a_number_is_null(summary):
    metrics = metrics_of(summary(2, spoilt=True))
    assert metrics["guided"]["subspace_r2"]["stream function"] is None
    assert metrics["guided"]["excess_leakage"][0][0] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("-inf"), None),
        (np.float64("nan"), None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (torch.tensor([1.0, float("nan")]), [1.0, None]),
        (torch.tensor(2), 2),
        ((1, "a", None), [1, "a", None]),
        (Path("a") / "b", "a/b"),
        (torch.device("cpu"), "cpu"),
        (torch.float32, "torch.float32"),
        ({("i", "j"): 1}, {"('i', 'j')": 1}),
    ],
)
def test_any_value_becomes_what_json_can_hold(value, expected):
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)
