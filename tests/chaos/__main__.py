"""`python -m tests.chaos`: seeded stories against real processes of the three programs.

    python -m tests.chaos --seconds 180                           every kind in turn, as far as time goes
    python -m tests.chaos --one kills:17 --keep                   one story again, its folder kept
    python -m tests.chaos --kinds kills=40,full_disk --first 2000
    python -m tests.chaos --table LOG [--document FILE]           the figures of a log; no story is played
    python -m tests.chaos --list

A story is (kind, seed). Its choices follow from the seed; the scheduler's share of the timing does
not, so a race may need a few plays (`--plays 5`). Exit 1 where a promise was broken: each violation
is printed with its `kind:seed`, and the folder of its story is kept below `--root`. The log is
cumulative, a JSON line a story. Programs run by `.venv/PROGRAM/bin/python`, or as `--python` says:
`--python /usr/bin/python3` for all three, `--python trainer=/opt/t/bin/python` for one.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.chaos import kinds, runner, table


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args(argv)
    if arguments.list:
        for kind in kinds.load().values():
            print(f"{kind.program:10}  {kind.name:24}  {kind.sentence}")
        return 0
    if arguments.table:
        return table.main(arguments.table, arguments.document)
    if arguments.worker:
        return runner.work(arguments)
    return runner.main(arguments)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--one", action="append", default=[], metavar="KIND:SEED")
    made.add_argument("--kinds", default="", metavar="KIND[=COUNT],…", help="or a program's name")
    made.add_argument("--plays", type=int, default=1, help="how often each story is played")
    made.add_argument("--first", type=int, default=0, help="the first seed")
    made.add_argument("--rounds", type=int, default=0, help="rounds over the kinds; 0: for ever")
    made.add_argument("--seconds", type=float, default=0, help="stop after so long; 0: no limit")
    made.add_argument("--jobs", type=int, default=1, help="stories at a time")
    made.add_argument("--log", default="", help="a line of JSON for each story is added to it")
    made.add_argument("--root", default="", help="where stories are played")
    made.add_argument("--python", action="append", default=[], metavar="[PROGRAM=]PYTHON")
    made.add_argument("--machine", default="", help="the compiled hostile machine, without gcc")
    made.add_argument("--keep", action="store_true", help="keep the folders of all stories")
    made.add_argument("--list", action="store_true", help="every kind in a sentence")
    made.add_argument("--table", nargs="+", default=[], metavar="LOG")
    made.add_argument("--document", default="", help="with --table: put it between its marks there")
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
