"""One export of a corpus, to a file, a data set folder or a hub."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from generator.export.card import Facts, data_card
from generator.export.selection import (
    Chosen,
    ExportChoice,
    choose,
    kept_traces,
    rejected_by_id,
)
from generator.export.shard_work import InThisProcess, Kind, ShardWork, requests_for
from generator.export.writing import (
    chat_lines,
    table_of,
    write_chat,
    write_held_out,
    write_parquet,
    write_text,
)
from generator.quality.suspect_golds import Suspect, write_suspects
from shared.destinations import check_destination
from shared.errors import InputError
from shared.hubs import HUBS, push_folder
from shared.records import Trace
from shared.shards import sealed_files

DATA_FILE = "data/train.parquet"  # of a data set folder, as is the card
CARD_FILE = "README.md"
HELD_OUT_FILE = "held-out.jsonl"  # in the corpus: `held-out:CORPUS` of the evaluation


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
        self,
        corpus: Path,
        choice: ExportChoice,
        repair: bool = False,
        licence: str = "other",
        work: ShardWork | None = None,
    ) -> None:
        """Reads the corpus once. `work`: who reads the shards, without it this process. Errors:
        `InputError` where nothing is left to export.
        """
        self._corpus = corpus
        self._choice = choice
        self._licence = licence
        self._work: ShardWork = work or InThisProcess()
        kept_files = sealed_files(corpus, "traces")
        kept_shards = zip(kept_files, self._work.notes(kept_files, choice), strict=True)
        failures = self._work.failures(sealed_files(corpus, "rejected"))
        self._chosen: Chosen = choose(choice, kept_shards, failures)
        self._suspects: list[Suspect] = write_suspects(corpus) if repair else []
        if not self._chosen.notes and not self._suspects:
            reasons = _reasons(self._chosen) or "no sealed shard has one"
            raise InputError(f"{corpus}: no trace to export ({reasons}): loosen the choice")

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
                place = push_folder(hub, Path(folder), repo, "dataset", private, self._licence)
        elif _is_folder(dest):
            self._folder(Path(dest), Path(dest).name, facts)
        elif dest.endswith(".jsonl"):
            write_chat(Path(dest), self._blocks("chat", facts))
            self._held_out(Path(dest).with_suffix(f".{HELD_OUT_FILE}"))
        else:
            self._parquet(Path(dest), facts)
            self._held_out(Path(dest).with_suffix(f".{HELD_OUT_FILE}"))
        return self._outcome(place, facts)

    def _blocks(self, kind: Kind, facts: Facts) -> Iterator[Any]:
        """Everything that is written, in order; counted in `facts`."""
        for block, counts in self._work.blocks(requests_for(self._chosen.notes, kind)):
            facts.add(counts)
            yield block
        traces = list(facts.counting(self._repaired()))
        if kind == "chat":
            yield chat_lines(traces)
        else:
            pass_rates = [self._chosen.pass_rates.get(trace.problem_id) for trace in traces]
            yield table_of(traces, pass_rates, are_repaired=True)

    def _repaired(self) -> Iterator[Trace]:
        """Wrong samples whose answer is the agreed one, graded against it; held-out problems
        stay out.
        """
        held_out_ids = set(self._chosen.held_out)
        suspect_by_trace: dict[str, Suspect] = {}
        for suspect in self._suspects:
            if suspect.problem_id not in held_out_ids:
                suspect_by_trace.update(dict.fromkeys(suspect.traces, suspect))
        for trace in rejected_by_id(self._corpus, frozenset(suspect_by_trace)):
            yield _repaired(trace, suspect_by_trace[trace.id])

    def _parquet(self, path: Path, facts: Facts) -> None:
        write_parquet(path, self._blocks("table", facts))

    def _folder(self, folder: Path, name: str, facts: Facts) -> None:
        self._parquet(folder / DATA_FILE, facts)
        held_out = self._held_out(folder / HELD_OUT_FILE)
        screening = _screening(self._corpus)
        choice = _in_words(self._choice)
        card = data_card(name, facts, held_out, screening, choice, self._licence)
        write_text(folder / CARD_FILE, card)

    def _held_out(self, path: Path) -> int:
        """The held-out problems to `path` and into the corpus; nothing where there are none."""
        if not self._chosen.held_out:
            return 0
        count = 0
        for file in (path, self._corpus / HELD_OUT_FILE):
            count = write_held_out(file, kept_traces(self._corpus), self._chosen.held_out)
        return count

    def _outcome(self, place: str, facts: Facts) -> str:
        reasons = _reasons(self._chosen)
        left_out = f"; left: {reasons}" if reasons else ""
        lines = [f"{place}: {facts.rows:,} traces of {self._chosen.problems:,} problems{left_out}"]
        if self._suspects:
            repairs = sum(suspect.agreeing for suspect in self._suspects)
            lines.append(
                f"{len(self._suspects):,} suspect golds repaired, {repairs:,} traces: see"
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


def _reasons(chosen: Chosen) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in chosen.left.most_common())


def _screening(corpus: Path) -> dict[str, Any] | None:
    try:
        summary = orjson.loads((corpus / "screening" / "state.json").read_bytes())["summary"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return summary if isinstance(summary, dict) else None


def _in_words(choice: ExportChoice) -> str:
    low, high = choice.pass_rate
    parts = [f"{choice.pick} correct samples of a problem"]
    if choice.sources:
        parts.append(f"sources {', '.join(sorted(choice.sources))}")
    if choice.min_tokens or choice.max_tokens:
        upper = choice.max_tokens or "any number of"
        parts.append(f"{choice.min_tokens} to {upper} completion tokens")
    if (low, high) != (0.0, 1.0):
        parts.append(f"pass rate {low:g} to {high:g}")
    if choice.drop_flags:
        parts.append(f"without {', '.join(sorted(choice.drop_flags))}")
    return "; ".join(parts)
