"""How many examples every property sees: few in each run, many in `make test-slow`, which sets ISOSPAN_PROPERTIES."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
}
settings.register_profile("quick", max_examples=10, derandomize=True, **SHARED)
settings.register_profile("long", max_examples=100, print_blob=True, **SHARED)

PROFILE = os.environ.get("ISOSPAN_PROPERTIES", "quick")
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items):
    """The long run is slow."""
    if PROFILE == "long":
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.slow)
