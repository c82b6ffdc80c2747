"""How long it takes to make a group, its representations and a module of realistic size, in a fresh process.

``python -m benchmarks.construction [MODULE ...]``: seconds of the processor, medians of five processes, forked
from one that has imported isospan and torch and done nothing else. The bar is 0.1 s for every module and group.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.timing import machine, one_thread
from isospan import models, nn
from isospan.groups import SO2, SO3, AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.representations import Representation, direct_sum

RESULTS = Path(__file__).parent / "results"
AT_MOST = 0.1
PROCESSES = 5

GROUPS: Mapping[str, Callable] = {
    "C4": lambda: CyclicGroup(4),
    "D6": lambda: DihedralGroup(6),
    "A4": lambda: AlternatingGroup(4),
    "Q8": QuaternionGroup,
    "A5": IcosahedralGroup,
    "SO2": SO2,
    "SO3": SO3,
}


def wide(rep: Representation, features: int) -> Representation:
    """The fewest copies with as many features; a multiple of four, which heads share."""
    return 4 * -(-features // (4 * rep.size)) * rep


def full_gaussian(rep: Representation) -> nn.MultivariateNormal:
    """Of the largest irrep and three invariants: whole regular representations have too large covariances."""
    return nn.MultivariateNormal(2 * rep.irreps[-1] + 3 * rep.group.trivial_representation, "full")


MODULES: Mapping[str, Callable[[Representation], torch.nn.Module]] = {
    "Linear": lambda rep: nn.Linear(wide(rep, 512), wide(rep, 512)),
    "Conv1d": lambda rep: nn.Conv1d(wide(rep, 128), wide(rep, 128), 5),
    "ConvTranspose1d": lambda rep: nn.ConvTranspose1d(wide(rep, 128), wide(rep, 128), 4),
    "ChangeOfBasis": lambda rep: nn.ChangeOfBasis(wide(rep, 512)),
    "IsotypicBasis": lambda rep: nn.IsotypicBasis(wide(rep, 128), learnable=True),
    "IrrepNorm": lambda rep: nn.IrrepNorm(wide(rep, 512)),
    "IrrepInvariants": lambda rep: nn.IrrepInvariants(wide(rep, 16)),
    "MultivariateNormal": nn.MultivariateNormal,
    "full MultivariateNormal": full_gaussian,
    "BatchNorm1d": lambda rep: nn.BatchNorm1d(wide(rep, 512)),
    "LayerNorm": lambda rep: nn.LayerNorm(wide(rep, 512)),
    "RMSNorm": lambda rep: nn.RMSNorm(wide(rep, 512)),
    "Dropout": lambda rep: nn.Dropout(wide(rep, 512)),
    "NormActivation": lambda rep: nn.NormActivation(wide(rep, 512)),
    "GatedActivation": lambda rep: nn.GatedActivation(wide(rep, 512)),
    "FourierActivation": lambda rep: nn.FourierActivation(wide(rep, 128)),
    "MultiheadAttention": lambda rep: nn.MultiheadAttention(wide(rep, 128), 4),
    "FiLM": lambda rep: nn.FiLM(wide(rep, 128), wide(rep, 64)),
    "PositionalEncoding": lambda rep: nn.PositionalEncoding(wide(rep, 256)),
    "EMLP": lambda rep: models.EMLP(rep, rep, (512, 512, 512)),
    "IMLP": lambda rep: models.IMLP(rep, 3, (512, 512, 512)),
    "TemporalCNN": lambda rep: models.TemporalCNN(rep, rep),
    "UNet1d": lambda rep: models.UNet1d(rep, rep, rep, (128, 256), step_embed_dim=64),
    "TransformerEncoder": lambda rep: models.TransformerEncoder(rep, rep, 256, num_layers=4),
}
"""Modules for a representation: the regular one, or of a Lie group all irreps up to frequency 2."""


def seconds(module: str, group: str) -> float:
    """Seconds that this process takes for one module, its group included."""
    one_thread()
    torch.empty(3).uniform_()
    start = time.process_time()
    G = GROUPS[group]()
    MODULES[module](direct_sum(G.irreps(2)) if G.order() is None else G.regular_representation)
    return time.process_time() - start


def median(module: str, group: str) -> float:
    """The median of processes that share what is imported, and nothing else."""
    with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return statistics.median(pool.starmap(seconds, PROCESSES * [(module, group)], chunksize=1))


def main(names: tuple[str, ...] = tuple(MODULES)) -> None:
    """Print the seconds of each module and group, and write them where all are asked for."""
    torch.set_num_threads(1)
    gc.freeze()  # else a collection in a forked process copies what was imported
    print(f"{machine()}, seconds of making a module and its group in a fresh process, at most {AT_MOST}")
    print(f"  {'':<24}" + "".join(f"{group:>8}" for group in GROUPS))
    found = {}
    for name in names:
        found[name] = {group: median(name, group) for group in GROUPS}
        outcome = "met" if max(found[name].values()) <= AT_MOST else "MISSED"
        print(f"  {name:<24}" + "".join(f"{value:8.3f}" for value in found[name].values()) + f"  {outcome}", flush=True)
    if set(names) == set(MODULES):
        (RESULTS / "construction.json").write_text(
            json.dumps({"machine": machine(), "seconds": found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main(*([tuple(sys.argv[1:])] if sys.argv[1:] else []))
