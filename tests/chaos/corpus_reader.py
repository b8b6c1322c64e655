"""A corpus as a stranger reads it: files and SQLite, nothing of the program that wrote it."""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PILES = ("traces", "rejected")


@dataclass
class Corpus:
    """What stands on disk at one moment."""

    lines: dict[str, bytes] = field(default_factory=dict)  # by id: the whole line
    pile_of: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)  # by name: sha256
    open_shards: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """(pile, row) of every whole line."""
        return [(self.pile_of[id_], json.loads(line)) for id_, line in self.lines.items()]


def read(folder: Path) -> Corpus:
    """All whole lines of a corpus and its parts, with what is wrong with them. A torn last line of
    an open shard is no fault.
    """
    corpus = Corpus()
    for place in (folder, *sorted(folder.glob("part-????"))):
        for pile in PILES:
            for path in sorted((place / pile).glob("shard-*")):
                if path.suffix in (".jsonl", ".open") and path.is_file():
                    _read_shard(path, str(path.relative_to(folder)), pile, corpus)
    return corpus


def _read_shard(path: Path, name: str, pile: str, corpus: Corpus) -> None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # sealed between two looks
        return
    *lines, tail = data.split(b"\n")
    if path.suffix == ".open":
        corpus.open_shards.append(name)
    else:
        corpus.sealed[name] = hashlib.sha256(data).hexdigest()
        if tail:
            corpus.faults.append(f"{name}: sealed with a torn line")
    for number, line in enumerate(lines, 1):
        try:
            id_ = json.loads(line)["id"]
        except (ValueError, KeyError, TypeError):
            corpus.faults.append(f"{name}:{number}: a whole line that is no row: {line[:80]!r}")
            continue
        if id_ in corpus.lines:
            corpus.faults.append(f"{id_} stands twice: {corpus.pile_of[id_]} and {name}")
        corpus.lines[id_] = line
        corpus.pile_of[id_] = pile


def manifest_faults(folder: Path, corpus: Corpus) -> list[str]:
    """Where the manifest and the sealed shards differ."""
    if not corpus.sealed:
        return []
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        listed = {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"manifest.json: {error!r}"]
    return [
        f"manifest.json and {name} differ"
        for name in sorted(listed.keys() | corpus.sealed.keys())
        if listed.get(name) != corpus.sealed.get(name)
    ]


def ledger_ids(folder: Path) -> set[str] | None:
    """The samples that the ledger knows, read from a copy; None where there is no table yet.

    Errors: `sqlite3.Error` for a ledger that cannot be read.
    """
    if not (folder / "ledger.sqlite").is_file():
        return None
    copy = Path(tempfile.mkdtemp(prefix="ledger-"))
    try:
        for suffix in ("", "-wal"):
            source = folder / f"ledger.sqlite{suffix}"
            if source.exists():
                shutil.copy(source, copy / source.name)
        database = sqlite3.connect(copy / "ledger.sqlite")
        try:
            rows = database.execute("SELECT problem_id, sample FROM samples").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        finally:
            database.close()
        return {f"{problem}:{sample}" for problem, sample in rows}
    finally:
        shutil.rmtree(copy, ignore_errors=True)
