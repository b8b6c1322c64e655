"""`python -m generator export CORPUS DEST`: chat JSON lines, Parquet, or a data set on a hub, of
the traces chosen.

export data/numina-r1 sft.jsonl --pick shortest --drop-flags all --held-out 0.02
export data/numina-r1 hf:me/numina-r1 --pass-rate 0.1:0.9 --license mit
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from generator.export.card import Facts, data_card
from generator.export.hubs import push_to_hugging_face, push_to_modelscope
from generator.export.selection import (
    PICKS,
    Choice,
    Chosen,
    choose,
    kept_traces,
    read_chosen,
    rejected_by_id,
)
from generator.export.writing import write_chat, write_held_out, write_parquet, write_text
from generator.quality.flags import FLAGS
from generator.quality.suspect_golds import Suspect, write_suspects
from shared.destinations import check_destination
from shared.errors import InputError
from shared.records import Trace

HUBS = ("hf:", "modelscope:")
DATA_FILE, CARD_FILE = "data/train.parquet", "README.md"  # of a data set folder
HELD_OUT_FILE = (  # in the corpus, where `held-out:CORPUS` of the evaluation looks for it
    "held-out.jsonl"
)


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
    add(
        "--repair",
        action="store_true",
        help="on suspect problems, take the answer that samples agreed on as gold",
    )
    add("--license", default="other", help="for the data card")
    add("--force", action="store_true", help="replace files that this program did not write")
    add("--public", action="store_true", help="a public data set on the hub; private otherwise")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written and what was left. Errors: `InputError`, `CannotWrite`."""
    if not 0 <= args.held_out < 1:
        raise InputError(f"--held-out {args.held_out}: a share of the problems, from 0 to below 1")
    choice = Choice(
        frozenset(args.source),
        args.min_tokens,
        args.max_tokens,
        args.pass_rate,
        args.pick,
        args.drop_flags,
        args.unverifiable,
        args.held_out,
        args.seed,
    )
    check_files(args.dest, args.held_out > 0, args.force)  # before minutes of reading
    export = Export(args.corpus, choice, args.repair, args.license)
    print(export.to(args.dest, not args.public, args.force))
    return 0


def check_files(dest: str, held_out: bool, force: bool) -> None:
    """Errors: `InputError` for a destination that names no kind of export, or that an export
    must not write to.
    """
    if dest.startswith(HUBS):
        if dest.partition(":")[2].count("/") != 1:
            raise InputError(f"{dest}: write {dest.partition(':')[0]}:OWNER/NAME")
        return
    path = Path(dest)
    if _is_folder(dest):
        files = [path / DATA_FILE, path / CARD_FILE]
        held_out_file = path / HELD_OUT_FILE
    elif dest.endswith((".jsonl", ".parquet")):
        files = [path]
        held_out_file = path.with_suffix(f".{HELD_OUT_FILE}")
    else:
        raise InputError(
            f"{dest}: write x.jsonl, x.parquet, a folder ending in /, hf:OWNER/NAME or"
            " modelscope:OWNER/NAME"
        )
    for file in [*files, held_out_file] if held_out else files:
        check_destination(file, force)


class Export:
    """One export of one corpus. `to` may be called for several destinations."""

    def __init__(
        self, corpus: Path, choice: Choice, repair: bool = False, licence: str = "other"
    ) -> None:
        """Reads the corpus once. Errors: `InputError` where nothing is left to export."""
        self._corpus = corpus
        self._choice = choice
        self._licence = licence
        self._chosen: Chosen = choose(corpus, choice)
        self._suspects: list[Suspect] = write_suspects(corpus) if repair else []
        if not self._chosen.notes and not self._suspects:
            left = ", ".join(
                f"{reason} {count:,}" for reason, count in self._chosen.left.most_common()
            )
            raise InputError(
                f"{corpus}: no trace to export ({left or 'no sealed shard has one'}): loosen the"
                " choice"
            )

    def to(self, dest: str, private: bool = True, force: bool = False) -> str:
        """Write to `dest`; the line for the user. `force`: also in the place of files that are not
        ours.

        Errors: `InputError`, `CannotWrite`.
        """
        check_files(dest, bool(self._chosen.held_out), force)
        place = dest
        facts = Facts()
        if dest.startswith(HUBS):
            hub, _, repo = dest.partition(":")
            with tempfile.TemporaryDirectory(prefix="stillhouse-export-") as folder:
                self._folder(Path(folder), repo, facts)
                push = push_to_hugging_face if hub == "hf" else push_to_modelscope
                place = push(Path(folder), repo, private)
        elif _is_folder(dest):
            self._folder(Path(dest), Path(dest).name, facts)
        elif dest.endswith(".jsonl"):
            write_chat(Path(dest), facts.counting(self._traces()))
            self._held_out(Path(dest).with_suffix(f".{HELD_OUT_FILE}"))
        else:
            self._parquet(Path(dest), facts)
            self._held_out(Path(dest).with_suffix(f".{HELD_OUT_FILE}"))
        return self._told(place, facts)

    def _traces(self) -> Iterator[Trace]:
        return chain(read_chosen(self._chosen), self._repaired())

    def _repaired(self) -> Iterator[Trace]:
        """Wrong samples whose answer is the agreed one, graded against it; held-out problems
        stay out.
        """
        held = set(self._chosen.held_out)
        agreed = {
            trace: s for s in self._suspects if s.problem_id not in held for trace in s.traces
        }
        for trace in rejected_by_id(self._corpus, frozenset(agreed)):
            yield _repaired(trace, agreed[trace.id])

    def _parquet(self, path: Path, facts: Facts) -> None:
        repaired = frozenset(trace for suspect in self._suspects for trace in suspect.traces)
        write_parquet(path, iter(facts.counting(self._traces())), self._chosen.pass_rates, repaired)

    def _folder(self, folder: Path, name: str, facts: Facts) -> None:
        self._parquet(folder / DATA_FILE, facts)
        held_out = self._held_out(folder / HELD_OUT_FILE)
        card = data_card(
            name, facts, held_out, _screening(self._corpus), _in_words(self._choice), self._licence
        )
        write_text(folder / CARD_FILE, card)

    def _held_out(self, path: Path) -> int:
        """The held-out problems to `path` and into the corpus; none asked for: nothing."""
        if not self._chosen.held_out:
            return 0
        count = 0
        for place in (path, self._corpus / HELD_OUT_FILE):
            count = write_held_out(
                place, _only_traces(kept_traces(self._corpus)), self._chosen.held_out
            )
        return count

    def _told(self, place: str, facts: Facts) -> str:
        left = ", ".join(f"{reason} {count:,}" for reason, count in self._chosen.left.most_common())
        repaired = sum(suspect.agreeing for suspect in self._suspects)
        lines = [
            f"{place}: {facts.rows:,} traces of {self._chosen.problems:,} problems"
            + (f"; left: {left}" if left else "")
        ]
        if self._suspects:
            lines.append(
                f"{len(self._suspects):,} suspect golds repaired, {repaired:,} traces: see"
                " suspect_gold.jsonl"
            )
        if self._chosen.held_out:
            lines.append(
                f"{len(self._chosen.held_out):,} problems held out: evaluate with"
                f" held-out:{self._corpus}"
            )
        return "\n".join(lines)


def _is_folder(dest: str) -> bool:
    return dest.endswith("/") or Path(dest).is_dir()


def _repaired(trace: Trace, suspect: Suspect) -> Trace:
    reason = (
        f"{suspect.agreeing} of {suspect.samples} samples agree; the data set's gold was"
        f" {suspect.gold}"
    )
    return replace(trace, gold=suspect.agreed, verdict="correct", reason=reason)


def _only_traces(found: Iterable[tuple[Path, int, Trace]]) -> Iterator[Trace]:
    return (trace for _, _, trace in found)


def _screening(corpus: Path) -> dict[str, Any] | None:
    try:
        summary = orjson.loads((corpus / "screening" / "state.json").read_bytes())["summary"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return summary if isinstance(summary, dict) else None


def _in_words(choice: Choice) -> str:
    low, high = choice.pass_rate
    parts = [f"{choice.pick} correct samples of a problem"]
    if choice.sources:
        parts.append(f"sources {', '.join(sorted(choice.sources))}")
    if choice.min_tokens or choice.max_tokens:
        parts.append(
            f"{choice.min_tokens} to {choice.max_tokens or 'any number of'} completion tokens"
        )
    if (low, high) != (0.0, 1.0):
        parts.append(f"pass rate {low:g} to {high:g}")
    if choice.drop_flags:
        parts.append(f"without {', '.join(sorted(choice.drop_flags))}")
    return "; ".join(parts)


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
    names = (
        frozenset(FLAGS)
        if text == "all"
        else frozenset(name.strip() for name in text.split(",") if name.strip())
    )
    if unknown := names - set(FLAGS):
        raise argparse.ArgumentTypeError(
            f"{min(unknown)!r} is no flag; they are {', '.join(FLAGS)}"
        )
    return names
