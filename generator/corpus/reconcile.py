"""Bring the ledger and the manifest up to the shards: at every start, and from nothing (`reindex`)."""

import datetime
from collections.abc import Callable
from pathlib import Path

import orjson

from generator.corpus.ledger import Ledger
from generator.corpus.lock import Lock
from generator.corpus.manifest import NAME as MANIFEST
from generator.corpus.manifest import read_manifest, write_manifest
from shared.exits import InputError
from shared.records import Trace
from shared.shards import OPEN, PILES, Position, ShardWriter, describe, open_files, read_lines, sealed_files

AccountOf = Callable[[str], str]


def reconcile(corpus: Path, ledger: Ledger, account_of: AccountOf) -> None:
    """Note what stands in shards that the ledger does not know as sealed, and list every sealed shard.

    The work grows with the open shards, not with the corpus; all of it is read only if the ledger is new. Then the
    calls are rebuilt as well, from what the traces say they cost (`account_of` names the account of a lane). One
    transaction: a kill in between leaves nothing half rebuilt.
    """
    known = ledger.shards()
    rebuilding = None if ledger.has_calls() else account_of
    manifest = read_manifest(corpus)
    listed = len(manifest)
    for pile in PILES:
        for file in sealed_files(corpus, pile):
            name = f"{pile}/{file.name}"
            if name not in known:
                _note_rows(ledger, file, name, rebuilding)
                ledger.note_sealed(name)
            if name not in manifest:
                manifest[name] = describe(corpus, file)
        for file in open_files(corpus, pile):
            _note_rows(ledger, file, f"{pile}/{file.name.removesuffix(OPEN)}", rebuilding)
    ledger.commit()
    if len(manifest) > listed or not (corpus / MANIFEST).exists():
        write_manifest(corpus, manifest.values())


def reindex(corpus: Path, account_of: AccountOf) -> int:
    """Make the ledger anew from the shards; returns the samples noted. Calls already noted are kept if readable.

    Errors: `InputError` where a run holds the corpus or a shard cannot be read.
    """
    if not any((corpus / pile).is_dir() for pile in PILES):
        raise InputError(f"{corpus}: no corpus here (it has neither traces/ nor rejected/): correct the path")
    lock = Lock(corpus)
    try:
        for pile in PILES:
            ShardWriter(corpus, pile, 1, 1).close()  # cuts a torn tail
        ledger = _emptied(corpus / "ledger.sqlite")
        reconcile(corpus, ledger, account_of)
        noted = sum(total.samples for total in ledger.totals())
        ledger.close()
        return noted
    finally:
        lock.release()


def _emptied(path: Path) -> Ledger:
    """The ledger without its samples; a damaged or foreign one is put aside as ledger.sqlite.damaged."""
    try:
        ledger = Ledger(path)
        if not ledger.damage():
            ledger.forget_all_samples()
            return ledger
        ledger.close()
    except InputError:  # not even opened
        pass
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ".damaged"))
    return Ledger(path)


def _note_rows(ledger: Ledger, file: Path, name: str, rebuilding: AccountOf | None) -> None:
    """Note a shard's rows anew; with `rebuilding` also the calls that they cost."""
    missing = ledger.forget_shard(name)
    for number, offset, line in read_lines(file):
        try:
            trace = Trace.from_row(orjson.loads(line))
        except (orjson.JSONDecodeError, InputError, AttributeError) as error:
            raise InputError(
                f"{file}:{number}: {error}: run `python -m generator check` and mend or move the file"
            ) from None
        new = ledger.add_sample(trace, Position(name, offset, len(line)))
        missing -= new
        if new and rebuilding is not None:
            finished = datetime.datetime.fromisoformat(trace.finished_at).timestamp()
            ledger.add_past_calls(trace, rebuilding(trace.lane), finished)
    if missing > 0:  # a power cut took rows: they are asked again, wherever in the source they stand
        ledger.note("place", "")
