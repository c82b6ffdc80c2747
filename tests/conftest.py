"""Programs beside the tests, which several processes run and which the tests take pieces of."""

import sys
from importlib import import_module

import pytest


@pytest.fixture(scope="module")
def program(request):
    """Import a program of the test's directory by its name."""
    here = str(request.path.parent)

    def imported(name):
        sys.path.insert(0, here)
        try:
            return import_module(name)
        finally:
            sys.path.remove(here)

    return imported
