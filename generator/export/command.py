"""The command `python -m generator export`."""

import argparse
from pathlib import Path

from generator.export.export import Export, check_files
from generator.export.selection import PICKS, ExportChoice
from generator.export.shard_work import ShardWork
from generator.quality.flags import FLAGS
from shared.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `export`."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument(
        "dest",
        metavar="DEST",
        help=(
            "x.jsonl (chat), x.parquet, FOLDER/ (a data set), hf:OWNER/NAME, modelscope:OWNER/NAME"
        ),
    )
    _add_choice(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="on suspect problems, take the answer that samples agreed on as gold",
    )
    parser.add_argument("--license", default="other", help="for the data card")
    parser.add_argument(
        "--force", action="store_true", help="replace files that this program did not write"
    )
    parser.add_argument(
        "--public", action="store_true", help="a public data set on the hub; private otherwise"
    )


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--pick",
        choices=PICKS,
        default="all",
        help="which correct sample of a problem; mixed: shortest or longest",
    )
    add(
        "--source",
        action="append",
        default=[],
        metavar="NAME",
        help="only problems of this source; may be repeated",
    )
    add("--min-tokens", type=int, default=0, metavar="N", help="completion tokens at least")
    add(
        "--max-tokens",
        type=int,
        default=0,
        metavar="N",
        help="completion tokens at most; 0: no limit",
    )
    add(
        "--pass-rate",
        type=_range,
        default=(0.0, 1.0),
        metavar="LOW:HIGH",
        help="share of right samples of the problem",
    )
    add(
        "--drop-flags",
        type=_flags,
        default=frozenset(),
        metavar="all|NAMES",
        help=f"any of: {', '.join(FLAGS)}",
    )
    add(
        "--held-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the problems kept out, listed for evaluation",
    )
    add("--seed", type=int, default=0, help="which problems are held out")
    add("--unverifiable", action="store_true", help="kept traces without a verified answer too")


def run(args: argparse.Namespace, work: ShardWork | None = None) -> int:
    """Export, and say what was written and what was left. `work`: see `Export`. Errors:
    `InputError`, `CannotWrite`.
    """
    if not 0 <= args.held_out < 1:
        raise InputError(f"--held-out {args.held_out}: a share of the problems, from 0 to below 1")
    choice = ExportChoice(
        sources=frozenset(args.source),
        min_tokens=args.min_tokens,
        max_tokens=args.max_tokens,
        pass_rate=args.pass_rate,
        pick=args.pick,
        drop_flags=args.drop_flags,
        unverifiable=args.unverifiable,
        held_out=args.held_out,
        seed=args.seed,
    )
    check_files(args.dest, args.held_out > 0, args.force)  # before minutes of reading
    export = Export(args.corpus, choice, args.repair, args.license, work)
    print(export.to(args.dest, not args.public, args.force))
    return 0


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        bounds = float(low or 0), float(high or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write LOW:HIGH, like 0.1:0.9") from None
    if not 0 <= bounds[0] <= bounds[1] <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: shares from 0 to 1, the lower one first")
    return bounds


def _flags(text: str) -> frozenset[str]:
    if text == "all":
        return frozenset(FLAGS)
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown_names = names - set(FLAGS)
    if unknown_names:
        raise argparse.ArgumentTypeError(
            f"{min(unknown_names)!r} is no flag; they are {', '.join(FLAGS)}"
        )
    return names
