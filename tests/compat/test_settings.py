"""The settings of spacelearn: validated, restored after a block; the fallback to the CPU is that of the library."""

import pytest
import torch

from isospan import settings as ours
from isospan.compat.spacelearn.settings import Settings, config
from isospan.errors import OptionError


def test_defaults():
    assert Settings() == Settings(
        solver_mode="auto", n_lowrank_iters=2, use_full_matrix=False, use_cpu_fallback=False, device=None
    )
    assert Settings("svd").solver_mode == "svd"
    assert config == Settings()


def test_context_restores_also_after_an_error():
    with config.context(solver_mode="eigen", use_cpu_fallback=True) as inside:
        assert inside is config
        assert (config.solver_mode, config.use_cpu_fallback) == ("eigen", True)
        with config.context(solver_mode="svd"):
            assert config.solver_mode == "svd"
        assert config.solver_mode == "eigen"
    assert config == Settings()
    with pytest.raises(RuntimeError), config.context(n_lowrank_iters=7):
        raise RuntimeError
    assert config == Settings()


def test_the_cpu_fallback_reaches_the_library():
    Settings(use_cpu_fallback=True)
    assert not ours.config.use_cpu_fallback
    with config.context(use_cpu_fallback=True):
        assert ours.config.use_cpu_fallback
    assert not ours.config.use_cpu_fallback


def test_a_bad_context_changes_nothing():
    with pytest.raises(OptionError), config.context(use_full_matrix=True, solver_mode="fast"):
        pass
    assert config == Settings()


def test_assignment():
    settings = Settings()
    settings.solver_mode, settings.device = "lowrank", torch.device("cpu")
    assert (settings.solver_mode, settings.device) == ("lowrank", torch.device("cpu"))
    assert config.solver_mode == "auto"


def test_bad_values():
    with pytest.raises(OptionError, match=r"Invalid solver_mode: 'fast'.*'auto', 'svd', 'eigen', 'lowrank'"):
        config.solver_mode = "fast"
    with pytest.raises(OptionError, match="There is no setting 'solver'"):
        config.solver = "svd"
    with pytest.raises(OptionError, match="n_lowrank_iters must be a whole number of at least 0, got -1"):
        config.n_lowrank_iters = -1
    with pytest.raises(OptionError, match=r"whole number of at least 0, got 1\.5"):
        Settings(n_lowrank_iters=1.5)
