"""A new corpus out of the shards that a rewriting wrote: its ledger, its manifest, what the source
says about itself; and what has changed.
"""

import datetime
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from generator.corpus.ledger import Ledger
from generator.corpus.manifest import write_manifest
from generator.corpus.sample_table import shard_key
from generator.parts.rewriting import MOST_EXAMPLES, NOTES, note_path
from shared.file_writing import write_atomically
from shared.records import trace_id
from shared.shards import SealedShard

COPIED = ("config.json", "held-out.jsonl", "screening", "budgets.json")
OUTCOME = "rebuilt"  # of the calls that the traces say they took


@dataclass
class Changes:
    """What a rewriting changed, over all parts."""

    counts: Counter[str] = field(default_factory=Counter)  # "incorrect → correct": traces
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, note: dict[str, Any]) -> None:
        """Count one part's."""
        self.counts.update(note["changes"])
        for change, examples in note["examples"].items():
            change_examples = self.examples.setdefault(change, [])
            change_examples += examples[: MOST_EXAMPLES - len(change_examples)]

    def lines(self) -> list[str]:
        """For the user: what became of how many, each change with a few examples."""
        real_changes = {
            change: count for change, count in self.counts.items() if _is_change(change)
        }
        total = self.counts.total()
        lines = [f"{total:,} traces, {sum(real_changes.values()):,} of them changed"]
        for change, count in sorted(real_changes.items(), key=lambda item: -item[1]):
            lines.append(f"{change}: {count:,}")
            lines += map(_in_words, self.examples[change])
        return lines


def _in_words(example: dict[str, Any]) -> str:
    return (
        f"    {example['id']}: gold {example['gold']!r}, answer {example['answer']!r};"
        f" {example['reason']}"
    )


def _is_change(change: str) -> bool:
    before, _, after = change.partition(" → ")
    return before != after


def finish(
    source: Path, destination: Path, shards: int, account_of: Callable[[str], str], changes: Changes
) -> None:
    """Make the folder of written shards a corpus. A killed one is made again. Errors: `CannotWrite`."""
    for suffix in ("", "-wal", "-shm"):
        (destination / f"ledger.sqlite{suffix}").unlink(missing_ok=True)
    ledger = Ledger(destination / "ledger.sqlite")
    sealed_shards: list[SealedShard] = []
    try:
        for number in range(shards):
            note = orjson.loads(note_path(destination, number).read_bytes())
            sealed_shards += [SealedShard(**shard) for shard in note["shards"]]
            ledger.add_samples(_sample_rows(note["samples"]))
            ledger.add_calls(_call_rows(note["samples"], account_of))
            changes.add(note)
        for shard in sealed_shards:
            ledger.note_sealed(shard.name)
    finally:
        ledger.close()
    write_manifest(destination, sealed_shards)
    copy_about(source, destination)
    shutil.rmtree(destination / NOTES)


def copy_about(source: Path, destination: Path) -> None:
    """What a corpus says about itself beside its shards."""
    for name in COPIED:
        _copy(source / name, destination / name)
    _correct_config(destination)


def _sample_rows(samples: Sequence[Sequence[Any]]) -> Iterator[Sequence[object]]:
    for problem, sample, shard, *columns in samples:
        yield (problem, sample, *shard_key(shard), *columns)


def _call_rows(
    samples: Sequence[Sequence[Any]], account_of: Callable[[str], str]
) -> Iterator[Sequence[object]]:
    """Each sample's calls, its tokens and dollars on the last."""
    for problem, sample, _, _, _, _, _, lane, attempts, prompt, completion, usd, end in samples:
        at = datetime.datetime.fromisoformat(end).timestamp()
        account = account_of(lane)
        identity = trace_id(problem, sample)
        for _ in range(attempts - 1):
            yield lane, account, identity, at, OUTCOME, 0, 0.0
        if attempts:
            yield lane, account, identity, at, OUTCOME, prompt + completion, usd or 0.0


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, dirs_exist_ok=True)
    elif source.exists():
        shutil.copyfile(source, destination)


def _correct_config(destination: Path) -> None:
    """The recorded configuration names the corpus that it stands in."""
    path = destination / "config.json"
    if path.exists():
        config = orjson.loads(path.read_bytes())
        config["corpus"] = str(destination)
        write_atomically(path, orjson.dumps(config, option=orjson.OPT_INDENT_2))
