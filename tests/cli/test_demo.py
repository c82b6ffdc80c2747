"""The embedded default, without its length."""

import math

import numpy as np
import pytest
import torch

from isospan.cli import _demo as demo
from isospan.experiment.samples import Samples, hold_out


def test_its_settings_are_those_of_turbulence_in_a_periodic_box():
    config = demo.demo_config("somewhere", epochs=3)
    assert config.epochs == 3
    assert config.augments
    assert config.dx == 2 * math.pi / 64
    held_out = config.test_fraction * demo.SAMPLES
    assert held_out % 4 == 0  # four snapshots a flow: no flow is on both sides


def test_its_fields_come_from_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ISOSPAN_CACHE", str(tmp_path))
    calls = []
    first = demo.demo_samples(4, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (4, 4)
    again = demo.demo_samples(4, progress=lambda done, total: calls.append("again"))
    assert calls[-1] == (4, 4)
    assert torch.equal(first.fields, again.fields)
    assert first.fields.shape == (4, 1, 64, 64)


@pytest.mark.parametrize("n", [20, 40, 200])
def test_the_last_samples_are_written_to_try_things_on_and_none_was_trained_on(tmp_path, n):
    samples = Samples(torch.arange(float(n)).view(n, 1, 1, 1))
    config = demo.demo_config()
    train, _ = hold_out(samples, config.test_fraction, blocks=config.test_blocks)
    demo.write_held_out(tmp_path / "held_out.npz", samples)
    written = np.load(tmp_path / "held_out.npz")["vorticity"].flatten().tolist()
    assert written == list(range(max(n - 16, len(train)), n))
