"""`python -m tests.fuzz TARGET --seconds N`: exit 0 where nothing broke, 1 where something did."""

import argparse
import sys
from pathlib import Path

from tests.fuzz import search
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="none: all of them")
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without atheris, though it is there")
    parser.add_argument("--found", type=Path, help="keep new inputs in this folder (guided only)")
    parser.add_argument("--list", action="store_true", help="every target in a sentence")
    arguments = parser.parse_args()
    if arguments.list:
        for name, target in TARGETS.items():
            print(f"{name:10} {' '.join((target.__doc__ or '').split())}")
        return 0
    unknown_names = set(arguments.targets) - TARGETS.keys()
    if unknown_names:
        parser.error(f"no target {min(unknown_names)!r}: there are {', '.join(TARGETS)}")
    is_guided = search.has_atheris() and not arguments.blind
    if not is_guided:
        print("fuzz: no guidance by coverage: `pip install -r constraints/fuzz.txt` brings atheris")
    codes = [
        _search(name, is_guided, arguments.seconds, arguments.seed, arguments.found)
        for name in arguments.targets or TARGETS
    ]
    return max(codes)


def _search(name: str, is_guided: bool, seconds: int, seed: int, found: Path | None) -> int:
    if is_guided:
        return search.guided(name, seconds, seed, found)
    return search.blind(name, TARGETS[name], seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
