"""Threads are set inside the block, and as before after it."""

import pytest
import torch

from isospan.training.threads import threads


@pytest.mark.parametrize(("count", "inside"), [(2, 2), (None, 1)])
def test_threads_are_restored_also_after_an_error(count, inside):
    def fail():
        with threads(count):
            seen.append(torch.get_num_threads())
            raise KeyError

    seen = []
    assert torch.get_num_threads() == 1  # as tests are run
    with pytest.raises(KeyError):
        fail()
    assert seen == [inside]
    assert torch.get_num_threads() == 1
