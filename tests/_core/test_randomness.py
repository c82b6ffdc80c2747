"""What a seed decides, and whose generators it leaves alone."""

import torch

from isospan._core.randomness import seeded


def test_the_generators_are_left_as_they_were():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3):
        assert torch.equal(torch.rand(2), first)


def test_on_the_cpu_no_other_device_is_seeded(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    with seeded(0):
        pass
    assert seeds == []
    torch.manual_seed(0)  # does seed them: what is recorded is what counts
    assert seeds == [0]
