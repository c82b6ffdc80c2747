"""The numbers of a run, as strict JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from isospan.experiment._run_summary import RunSummary
from isospan.experiment.training import History

SCHEMA_VERSION = 1


def metrics_of(summary: RunSummary) -> dict[str, Any]:
    """Return all numbers of a run as plain dicts, lists, strings, numbers and None.

    Images are left out. NaN and infinity become None.
    """
    return plain(
        {
            "schema": SCHEMA_VERSION,
            "title": summary.title,
            "seconds": summary.seconds,
            "nmse": summary.nmse,
            "latent_dim": summary.latent_dim,
            "dims": {name: {"n": n, "k": k} for name, (n, k) in summary.dims.items()},
            "guided": summary.guided.to_dict(),
            "unguided": summary.unguided.to_dict() if summary.unguided is not None else None,
            "edit_fidelity": {name: edited.fidelity(name) for name, edited in summary.edits.items()},
            "edits": {name: scores.to_dict() for name, scores in summary.edit_scores.items()},
            "use": summary.use.to_dict() if summary.use is not None else None,
            "coverage_90": {name: interval.coverage for name, interval in summary.intervals.items()},
            "history": _history(summary.history),
            "unguided_history": _history(summary.unguided_history),
            "drift": summary.drift.to_dict() if summary.drift is not None else None,
            "settings": summary.settings,
            "versions": summary.versions,
        }
    )


def to_json(value: Any) -> str:
    """Return strict JSON. NaN and infinity become null.

    Example:
        >>> print(to_json({"a": float("nan"), "b": [1.5, None]}))
        {
          "a": null,
          "b": [
            1.5,
            null
          ]
        }
    """
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; other objects become their text.

    Example:
        >>> plain({1: (np.float32(0.5), float("inf")), "path": np.zeros(2)})
        {'1': [0.5, None], 'path': [0.0, 0.0]}
    """
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _history(history: History | None) -> dict[str, Any] | None:
    if history is None:
        return None
    curves = {"step": history.steps, "terms": history.losses, "solve_steps": history.solve_steps}
    return curves | {"validation_step": history.validation_steps, "validation": history.validation}
