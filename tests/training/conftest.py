"""Programs beside the tests, which several processes run and which the tests take pieces of."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="session")
def program():
    """Import a program of this directory by its name."""

    def imported(name):
        sys.path.insert(0, HERE)
        try:
            return import_module(name)
        finally:
            sys.path.remove(HERE)

    return imported
