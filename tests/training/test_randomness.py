"""A seed holds inside its block, and not after it."""

import torch

from isospan.training.randomness import seeded


def test_a_seed_decides_inside_and_nothing_changes_outside():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with seeded(1):
        first = torch.rand(3)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), expected)
