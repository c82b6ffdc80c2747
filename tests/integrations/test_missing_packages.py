"""Without the packages that only some users need, the error says what to install, and all else works."""

import importlib
import sys

import pytest

from isospan.errors import MissingPackageError


@pytest.mark.parametrize("trainer", ["lightning", "transformers"])
def test_the_error_says_what_to_install(trainer, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == trainer]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, trainer, None)  # which is how Python says that there is none
    monkeypatch.delitem(sys.modules, f"isospan.integrations.{trainer}", raising=False)
    with pytest.raises(MissingPackageError, match=rf"pip install 'isospan\[{trainer}\]'"):
        importlib.import_module(f"isospan.integrations.{trainer}")
