"""``python -m benchmarks.learning_curves``: run what is missing from the file of results, then draw the figure."""

import argparse
import json
import logging
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.learning_curves.figure import draw
from benchmarks.learning_curves.learners import LEARNERS
from benchmarks.learning_curves.problems import problems
from benchmarks.learning_curves.study import QUICK, Budget, run
from benchmarks.learning_curves.table import Curves, markdown
from isospan.errors import MissingPackageError

RESULTS = Path(__file__).parent / "results.jsonl"
FIGURE = Path(__file__).parents[2] / "docs" / "images" / "learning_curves.png"
SIZES = (100, 300, 1_000, 3_000, 10_000)

logger = logging.getLogger("benchmarks")
console = Console()


def main() -> None:
    """Run the study that the arguments describe."""
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    budget = QUICK if args.quick else Budget(steps=args.steps)
    folder = Path(mkdtemp()) if args.quick else None
    path, figure = (folder / RESULTS.name, folder / FIGURE.name) if folder else (RESULTS, FIGURE)
    known = problems()
    wanted = list(product(args.seeds, args.problems, args.samples, args.learners))
    with Progress(
        TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("learning curves", total=len(wanted))
        for seed, problem, n, learner in wanted:
            name = {"problem": problem, "samples": n, "learner": learner, "seed": seed, "steps": budget.steps}
            bar.update(task, description=f"{problem}, {n:,} samples, {LEARNERS[learner]}")
            if n <= budget.n_max and not any(name.items() <= result.items() for result in _read(path)):
                try:
                    _append(path, name | run(learner, known[problem], n, seed, budget))
                except MissingPackageError as error:
                    logger.warning("%s is left out: %s", problem, error)
            bar.advance(task)
    curves = Curves.of(result for result in _read(path) if result["steps"] == budget.steps)
    console.print(markdown(curves), soft_wrap=True, markup=False)
    if budget.steps == Budget.steps or args.quick:
        draw(curves, {name: problem.title for name, problem in known.items()}).savefig(figure)
        console.print(figure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curves", description=main.__doc__)
    parser.add_argument("--problems", nargs="+", choices=list(problems()), default=list(problems()))
    parser.add_argument("--learners", nargs="+", choices=list(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--samples", nargs="+", type=int, default=SIZES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of training; the figure has the default")
    parser.add_argument("--quick", action="store_true", help="few samples and steps: a check that all of it runs")
    return parser.parse_args()


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _append(path: Path, result: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
