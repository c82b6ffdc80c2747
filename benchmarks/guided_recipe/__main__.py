"""``python -m benchmarks.guided_recipe``: run what is missing from the file of results, then print the table."""

import argparse
import json
import logging
import warnings
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.guided_recipe.recipes import RECIPES, is_installed
from benchmarks.guided_recipe.sets import SETS
from benchmarks.guided_recipe.study import QUICK, Budget, key, run
from benchmarks.guided_recipe.table import draw, markdown, summary
from benchmarks.timing import one_thread
from isospan.errors import NumericalWarning

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"

logger = logging.getLogger("benchmarks")


def main() -> None:
    """Run the study that the arguments describe."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore", NumericalWarning)
    one_thread()
    budget = QUICK if args.quick else Budget(epochs=args.epochs, batch_size=args.batch_size, lr=args.lr)
    path = args.out or (Path(mkdtemp()) / RESULTS.name if args.quick else RESULTS)
    given = {"strength": args.strength, "separation": args.separation, "ridge": args.ridge}
    options = {name: value for name, value in given.items() if value is not None}
    done = _read(path)
    for seed, name, recipe in product(args.seeds, args.sets, args.recipes):
        if not is_installed(recipe):
            logger.warning("%s is not installed: left out", recipe)
            continue
        title = key(recipe, name, seed, budget, options)
        if title not in done:
            label = " ".join([recipe, *(f"{option}={value:g}" for option, value in options.items())])
            result = {"key": title, "set": name, "label": label, "seed": seed, "budget": budget.recorded}
            done[title] = result | run(recipe, SETS[name](), seed, budget, **options)
            _append(path, done[title])
    shown = [result for result in done.values() if result["budget"] == budget.recorded]
    table = markdown(shown)
    print(table)
    if path == RESULTS:
        (HERE / "table.md").write_text(f"{summary(shown)}\n\n{table}\n")
        draw(shown, HERE / "frontier.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guided_recipe", description=main.__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=Budget.epochs)
    parser.add_argument("--batch-size", type=int, default=Budget.batch_size)
    parser.add_argument("--lr", type=float, default=Budget.lr)
    parser.add_argument("--strength", type=float, help="of the guidance; the library's default if left out")
    parser.add_argument("--ridge", type=float, help="of the guidance; the library's default if left out")
    parser.add_argument("--separation", type=float, help="of the recipe orthogonal; the library's default if left out")
    parser.add_argument("--quick", action="store_true", help="one epoch: a check that all of it runs")
    parser.add_argument("--out", type=Path, help="file of results, one JSON line a run")
    return parser.parse_args()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def _append(path: Path, result: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")
    logger.info("%s: %s", result["key"], "diverged" if result["diverged"] else f"NMSE {result['nmse']:.4f}")


if __name__ == "__main__":
    main()
