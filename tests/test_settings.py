"""Settings: validated, restored after a block, and they change how but never what."""

import pytest

from isospan.errors import OptionError
from isospan.settings import Settings, config


def test_defaults():
    assert Settings() == Settings(use_cpu_fallback=False)
    assert config == Settings()


def test_context_restores_also_after_an_error():
    with config.context(use_cpu_fallback=True) as inside:
        assert inside is config
        with config.context(use_cpu_fallback=False):
            assert not config.use_cpu_fallback
        assert config.use_cpu_fallback
    assert config == Settings()
    with pytest.raises(RuntimeError), config.context(use_cpu_fallback=True):
        raise RuntimeError
    assert config == Settings()


def test_a_bad_context_changes_nothing():
    with pytest.raises(OptionError), config.context(use_cpu_fallback=True, solver="fast"):
        pass
    assert config == Settings()


def test_bad_values():
    with pytest.raises(OptionError, match=r"There is no setting 'solver'\. The settings are use_cpu_fallback"):
        config.solver = "svd"
    with pytest.raises(OptionError, match="use_cpu_fallback must be True or False, got 'no'"):
        config.use_cpu_fallback = "no"
