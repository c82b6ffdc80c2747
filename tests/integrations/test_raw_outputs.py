"""What a model returns is caught inside of all wrappers, and compiles."""

import torch
from torch import nn

from isospan.integrations._raw_outputs import RawOutputs


def test_catching_breaks_no_graph():
    model, raw = nn.Linear(3, 2), RawOutputs()
    raw.of(model)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with raw.caught() as outputs:
        y = compiled(torch.ones(1, 3))
    assert torch.equal(outputs[0], y)
    raw.release()
    assert "forward" not in vars(model)
