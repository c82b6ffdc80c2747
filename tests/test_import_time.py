"""``import isospan`` and its first use add little to ``import torch``."""

import os
import subprocess
import sys

PROGRAM = """
import torch, time
start = time.thread_time()
import isospan
isospan.SpaceObjective
print(time.thread_time() - start)
"""


def test_import_adds_at_most_150_milliseconds_to_that_of_torch():
    """Processor seconds of the best of four fresh interpreters, so that a busy machine does not count.

    The first one writes the byte code that the others read, as after an installation.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
        for _ in range(4)
    ]
    assert min(float(run.stdout) for run in runs) < 0.15


LAYERS = """
import sys
import torch
from isospan import models, nn
from isospan.groups import SO3, DihedralGroup
from isospan.representations import direct_sum
before = set(sys.modules)
for group in (DihedralGroup(3), SO3()):
    rep = group.regular_representation if group.order() else direct_sum(group.irreps(1))
    nn.MultivariateNormal(rep, "full"), nn.FourierActivation(rep), models.IMLP(rep, 3)
    models.UNet1d(rep, rep, rep, step_embed_dim=16), models.TransformerEncoder(rep, rep), models.TemporalCNN(rep, rep)
print(*(name for name in set(sys.modules) - before if name.split(".")[0] in ("scipy", "torch")))
"""


def test_layers_are_built_of_what_is_imported_already():
    run = subprocess.run([sys.executable, "-c", LAYERS], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
