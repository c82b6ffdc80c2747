"""An audit of class labels and of partly labelled data."""

import numpy as np
import pytest
import torch

from isospan.errors import DegenerateDataError, NonFiniteError, OptionError
from isospan.evaluation import evaluate
from isospan.experiment import AuditConfig, audit
from isospan.subspaces import solve_subspaces

N, D, C = 400, 6, 3
TAIL = {"test_fraction": 0.25, "test_blocks": 1, "classes": {"label": C}}
SKIP = AuditConfig(missing="skip", **TAIL)


@pytest.fixture(scope="module")
def data():
    """Half of the rows have the vector and the field, 70 % a label."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((N, D)) + 3
    y = {
        "force": z @ rng.standard_normal((D, 5)) + rng.standard_normal((N, 5)),
        "flow": np.einsum("n,hw->nhw", z[:, 0], rng.standard_normal((8, 8))) + rng.standard_normal((N, 8, 8)),
        "label": z[:, :C].argmax(1).astype(float),
    }
    y["force"][rng.random(N) < 0.5, 2] = np.nan
    y["flow"][rng.random(N) < 0.5, 1, 1] = np.nan
    y["label"][rng.random(N) < 0.3] = np.nan
    return z, y


def test_scores_are_those_of_evaluate(data):
    z, y = data
    result = audit(z, {name: y[name] for name in ("force", "label")}, SKIP)
    assert result.sizes.k["label"] == C - 1
    z, force = torch.from_numpy(z), torch.from_numpy(y["force"])
    label = torch.from_numpy(np.nan_to_num(y["label"], nan=-1)).long()
    fit, score = ((z[r], {"force": force[r], "label": label[r]}) for r in (slice(300), slice(300, None)))
    space = solve_subspaces(*fit, result.sizes.k, missing="skip")
    expected = evaluate(space, *score, fit=fit, missing="skip")
    for key in ("subspace_r2", "linear_probe_r2", "decoder_r2", "accuracy", "balanced_accuracy"):
        assert getattr(result.evaluation, key) == pytest.approx(getattr(expected, key), abs=1e-7), key
    assert result.evaluation.accuracy["label"] > 0.8


def test_a_field_is_sized_from_the_rows_that_have_it(data):
    z, y = data
    rows = ~np.isnan(y["flow"]).any((1, 2))
    options = {"test_fraction": 0.25, "test_blocks": 1}
    alone = audit(z[rows], {"flow": y["flow"][rows]}, AuditConfig(**options))
    assert audit(z, {"flow": y["flow"]}, AuditConfig(missing="skip", **options)).sizes.dims == alone.sizes.dims


def test_what_is_refused(data):
    z, y = data
    with pytest.raises(NonFiniteError, match="must be finite"):
        audit(z, {"force": y["force"]}, AuditConfig())
    with pytest.raises(NonFiniteError, match="must be finite"):
        audit(z, {"force": y["force"] * np.inf}, AuditConfig(missing="skip"))
    with pytest.raises(NonFiniteError, match="must be finite"):
        audit(np.where(z > 4, np.nan, z), {"force": y["force"]}, AuditConfig(missing="skip"))
    with pytest.raises(OptionError, match="Class labels must be one whole number a sample, got 'label'"):
        audit(z, {"label": z[:, 0]}, SKIP)
    with pytest.raises(OptionError, match="Choose one of 'raise', 'skip'"):
        audit(z, {"label": z[:, 0]}, AuditConfig(missing="drop"))
    label = y["label"].copy()
    label[300:] = np.nan
    with pytest.raises(DegenerateDataError, match="No sample that is scored has the quantity 'label'"):
        audit(z, {"label": label}, SKIP)
