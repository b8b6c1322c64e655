"""The controller of a lane beside AIMD, Vegas, Gradient2 and DataDesigner's, in simulated worlds.

    python -m benchmarks.controller [WORD ...] [--only ours] [--seed 1] [--page FOLDER]

WORD: only the worlds whose name has one of these in it. `--page` writes the table and its picture,
`controller-table.md` and `controller.svg`. All of it takes about 100 s of processor time, in two
processes.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from benchmarks.controller.page import draw, table
from benchmarks.controller.trial import CONTROLLERS, Outcome, misses, outcome
from benchmarks.controller.worlds import LESSONS, WORLDS, World

ALL = [*WORLDS, *LESSONS]


def main() -> int:
    """The exit code: 0 where ours keeps every bound."""
    parser = argparse.ArgumentParser(description="The controller in simulated worlds.")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--only", default="", choices=["", *CONTROLLERS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else list(CONTROLLERS)
    numbers = [number for number, world in enumerate(ALL) if _is_wanted(world, arguments.words)]
    rows: list[tuple[World, dict[str, Outcome]]] = []
    with Pool(2) as pool:
        tries = pool.imap(partial(_try, names=names, seed=arguments.seed), numbers)
        for number, outcomes in zip(numbers, tries, strict=True):
            rows.append((ALL[number], outcomes))
            print(_line(ALL[number], outcomes), flush=True)
    count = sum(bool(misses(world, outcomes[names[0]])) for world, outcomes in rows)
    print(f"{names[0]} misses a bound in {count} of {len(rows)} worlds")
    if arguments.page:
        (arguments.page / "controller-table.md").write_text(table(rows, names), encoding="utf-8")
        (arguments.page / "controller.svg").write_text(draw(rows, names), encoding="utf-8")
    return int(count > 0)


def _is_wanted(world: World, words: Sequence[str]) -> bool:
    return not words or any(word in world.name for word in words)


def _try(number: int, names: Sequence[str], seed: int) -> dict[str, Outcome]:
    world = ALL[number]
    return {name: outcome(world, CONTROLLERS[name], seed) for name in names}


def _line(world: World, outcomes: dict[str, Outcome]) -> str:
    parts = [f"{world.name:<52}"]
    for name, result in outcomes.items():
        missed = " ".join(misses(world, result))
        parts.append(
            f"{name} {result.share:.1%} {result.refused:.2%} {result.unlearnt:.0f} {missed}"
        )
    return " | ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
