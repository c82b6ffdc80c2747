"""Generation with a latent space attached to one layer, against generation without.

``python -m benchmarks.attach``: GPT-2 of 12 layers and 768 dimensions, built from its config with random weights,
generates 24 tokens after 16, with its cache. The bar: one edit at one layer adds at most 3 %. One thread, float32;
repeats alternate, and each is divided by the one without of the same turn. The seconds of the hook alone, times the
number of tokens, say what the share is without the noise of the machine.
"""

import json
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.timing import lower_quartiles, machine, one_thread, timed
from isospan.integrations import attach
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, eraser, solve_subspaces

RESULTS = Path(__file__).parent / "results"
TOKENS, NEW, LAYER, REPEATS, BAR = 16, 24, 6, 15, 0.03


def model() -> GPT2LMHeadModel:
    """Return the model with random weights."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=12, n_embd=768, n_head=12, bos_token_id=0, eos_token_id=None, pad_token_id=0)
    return GPT2LMHeadModel(config).eval()


def hidden_states(gpt2: GPT2LMHeadModel) -> Tensor:
    """Outputs of the layer, (N, 768)."""
    ids = torch.randint(vocabulary_size(gpt2), (16, 128), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return gpt2(ids, output_hidden_states=True).hidden_states[LAYER + 1].flatten(0, 1)


def vocabulary_size(gpt2: GPT2LMHeadModel) -> int:
    """Return the number of tokens to draw from."""
    return gpt2.config.vocab_size


def per_call(space: LatentSpace) -> Callable[..., Tensor]:
    """A hook that solves the edit at every call, for comparison."""
    return lambda module, args, z: space.edit(z, {"first": 2.0})


def main() -> None:
    """Print and store the seconds of each way, and what it adds."""
    one_thread()
    gpt2 = model()
    z = hidden_states(gpt2)
    noise = torch.randn(len(z), 3, generator=torch.Generator().manual_seed(2))
    y = {"first": z[:, :32].sum(1) + noise[:, 0], "second": z[:, 32:34] + 0.1 * noise[:, 1:]}
    space = solve_subspaces(z, y, k={"first": 1, "second": 2})
    ways: Mapping[str, Mapping[str, Any]] = {
        "nothing": {},
        "read": {"read": ["first"]},
        "edit": {"edit": {"first": 2.0}},
        "edit by a function": {"edit": {"first": lambda value: 1.2 * value}},
        "eraser and edit": {"erase": eraser(Moments.of(z, y), ["second"]), "edit": {"first": 2.0}},
    }
    layer = gpt2.transformer.h[LAYER]
    ids = torch.randint(vocabulary_size(gpt2), (1, TOKENS), generator=torch.Generator().manual_seed(3))
    generate = lambda: gpt2.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False)  # noqa: E731

    def attached(options: Mapping[str, Any]) -> None:
        with attach(layer, space, **options):
            generate()

    def solved_at_every_call() -> None:
        with ExitStack() as stack:
            stack.callback(layer.register_forward_hook(per_call(space)).remove)
            generate()

    calls = {"without": generate} | {way: lambda options=options: attached(options) for way, options in ways.items()}
    seconds = timed(calls | {"edit solved at every call": solved_at_every_call}, repeats=REPEATS)
    ratios = {
        way: statistics.median(a / b for a, b in zip(values, seconds["without"], strict=True)) - 1
        for way, values in seconds.items()
        if way != "without"
    }
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    hooks = hook_seconds(space, ways)
    print(machine())
    for way, value in ratios.items():
        alone = f", the hook alone {NEW * hooks[way] / medians['without']:.2%}" if way in hooks else ""
        print(f"  {way:<26} {medians[way]:.3f} s, {value:+.2%}{alone}")
    print(
        f"  one edit at one layer: {ratios['edit']:+.2%} (at most {BAR:.0%})",
        "held" if ratios["edit"] <= BAR else "MISSED",
    )
    report = {"machine": machine(), "seconds": medians, "added": ratios, "seconds_of_the_hook": hooks}
    (RESULTS / "attach.json").write_text(json.dumps(report, indent=1) + "\n")


def hook_seconds(space: LatentSpace, ways: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Seconds that one call for one token adds to a module that does nothing."""
    token, module, times = torch.randn(1, 1, space.latent_dim), torch.nn.Identity(), 200

    def many() -> None:
        for _ in range(times):
            module(token)

    plain = lower_quartiles({"plain": many})["plain"]
    seconds = {}
    with torch.no_grad():
        for way, options in ways.items():
            if options:
                with attach(module, space, **options):
                    seconds[way] = (lower_quartiles({way: many})[way] - plain) / times
    return seconds


if __name__ == "__main__":
    main()
