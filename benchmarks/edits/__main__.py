"""``python -m benchmarks.edits``: run what is missing from the file of results, then print the table."""

import argparse
import json
import logging
import warnings
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import mean, median
from tempfile import mkdtemp
from typing import Any

from benchmarks.edits.networks import NETWORKS
from benchmarks.edits.study import EPOCHS, run
from benchmarks.guided_recipe.sets import SETS
from benchmarks.timing import one_thread
from isospan.errors import NumericalWarning

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
FIELDS = ("cahn-hilliard", "turbulence", "waves")
COLUMNS = ("set", "network", "plan", "weight")
ALL = [("joint", 0.0), ("joint", 0.1), ("joint", 0.3), ("decoder afterwards", 0.0), ("decoder afterwards", 0.3)]
WITH_SKIPS = [*ALL, ("encoder first", 0.0), ("encoder first", 0.3)]

logger = logging.getLogger("benchmarks")


def main() -> None:
    """Run the study."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore", NumericalWarning)
    one_thread()
    path = Path(mkdtemp()) / RESULTS.name if args.quick else RESULTS
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for seed, network, name in product(args.seeds, args.networks, args.sets):
        for plan, weight in WITH_SKIPS if network == "U-Net" else ALL:
            key = {"set": name, "network": network, "plan": plan, "weight": weight, "seed": seed}
            if any(key.items() <= result.items() for result in done):
                continue
            done.append(key | run(plan, weight, SETS[name](), network, seed, 1 if args.quick else EPOCHS))
            with path.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            logger.info("%s: error %.4f", key, done[-1]["error"])
    table = markdown(done)
    print(table)
    if path == RESULTS:
        (HERE / "table.md").write_text(table + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=main.__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(FIELDS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="one epoch: a check that all of it runs")
    return parser.parse_args()


def markdown(results: list[dict[str, Any]]) -> str:
    """Medians over the seeds, each of the mean over the quantities."""
    groups = defaultdict[tuple[Any, ...], list[dict[str, Any]]](list)
    for result in results:
        groups[tuple(result[column] for column in COLUMNS)].append(result)
    lines = [
        "| set | network | plan | weight | seeds | error | of the mean latent | R² | share, linear | R², linear |"
        " side, linear | R², decoded | side, decoded |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, runs in sorted(groups.items()):
        numbers = [
            median(result["error"] for result in runs),
            median(result["error of the mean latent"] for result in runs),
            median(mean(result["r2"].values()) for result in runs),
            *(median(mean(result["edits"][of].values()) for result in runs) for of in ("linear_share", "linear_r2")),
            median(_side(result, "linear") for result in runs),
            median(mean(result["edits"]["decoded_r2"].values()) for result in runs),
            median(_side(result, "decoded") for result in runs),
        ]
        cells = [*map(str, key), str(len(runs)), *(f"{n:.3f}" if i < 2 else f"{n:.2f}" for i, n in enumerate(numbers))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _side(result: dict[str, Any], kind: str) -> float:
    """The mean over the edits of the largest side effect, in standard deviations."""
    rows = result["edits"][f"{kind}_side_effects"]
    return mean(max(value for j, value in enumerate(row) if j != i) for i, row in enumerate(rows))


if __name__ == "__main__":
    main()
