"""Bring the ledger and the manifest up to the shards: at every start, and from nothing
(`reindex`).
"""

import datetime
from collections.abc import Callable, Set
from pathlib import Path

import orjson

from generator.corpus.high_water import forget_proof
from generator.corpus.ledger import Ledger
from generator.corpus.lock import lock_corpus
from generator.corpus.manifest import NAME as MANIFEST
from generator.corpus.manifest import read_manifest, write_manifest
from shared.errors import InputError
from shared.records import Trace, trace_id
from shared.shard_writer import ShardWriter
from shared.shards import OPEN, PILES, Position, describe, open_files, read_lines, sealed_files

AccountOf = Callable[[str], str]


def reconcile(
    corpus: Path, ledger: Ledger, account_of: AccountOf, noted_before: Set[str] = frozenset()
) -> None:
    """Note what stands in the shards and not in the ledger, and list every sealed shard.

    A sealed shard is read again where the ledger has not noted as many rows as the manifest, and so
    the file, says; a mark "all is noted" may outlive what it speaks of. The work grows with the
    open shards, not with the corpus; all of it is read only if the ledger is new. Calls that the
    ledger lost are rebuilt from what the traces say they cost (`account_of` names the account of a
    lane); it has those of the samples that it notes, or noted before it was emptied
    (`noted_before`, ids). One transaction: a kill in between leaves nothing half rebuilt.
    """
    noted_rows = ledger.rows_by_shard()
    sealed_names = ledger.shards()
    manifest = read_manifest(corpus)
    listed_shards = len(manifest)
    notes = _Notes(corpus, ledger, account_of, noted_before)
    for pile in PILES:
        for file in sealed_files(corpus, pile):
            name = f"{pile}/{file.name}"
            if name not in manifest:
                manifest[name] = describe(corpus, file)
            if name not in sealed_names or noted_rows.get(name, 0) != manifest[name].rows:
                notes.take_anew(file, name)
                ledger.note_sealed(name)
        for file in open_files(corpus, pile):
            notes.take_anew(file, f"{pile}/{file.name.removesuffix(OPEN)}")
    ledger.commit()
    if len(manifest) > listed_shards or not (corpus / MANIFEST).exists():
        write_manifest(corpus, manifest.values())


def reindex(corpus: Path, account_of: AccountOf) -> int:
    """Make the ledger anew from the shards; returns the samples noted. Calls already noted are kept
    if readable.

    Errors: `InputError` where a run holds the corpus or a shard cannot be read.
    """
    if not any((corpus / pile).is_dir() for pile in PILES):
        raise InputError(
            f"{corpus}: no corpus here (it has neither traces/ nor rejected/): correct the path"
        )
    lock = lock_corpus(corpus)
    try:
        for pile in PILES:
            ShardWriter(corpus, pile, 1, 1).close()  # cuts a torn tail
        ledger, noted_before = _emptied(corpus / "ledger.sqlite")
        reconcile(corpus, ledger, account_of, noted_before)
        samples = sum(total.samples for total in ledger.totals())
        ledger.close()
        return samples
    finally:
        lock.release()


def _emptied(path: Path) -> tuple[Ledger, set[str]]:
    """The ledger without its samples, and their ids; a damaged or foreign one is put aside as
    ledger.sqlite.damaged.
    """
    try:
        ledger = Ledger(path)
        if not ledger.damage():
            sample_ids = ledger.sample_ids()
            ledger.forget_all_samples()
            return ledger, sample_ids
        ledger.close()
    except InputError:  # not even opened
        pass
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ".damaged"))
    forget_proof(path.parent)
    return Ledger(path), set()


class _Notes:
    """What the ledger says about shards, taken anew from their rows."""

    def __init__(
        self, corpus: Path, ledger: Ledger, account_of: AccountOf, noted_before: Set[str]
    ) -> None:
        self._corpus = corpus
        self._ledger = ledger
        self._account_of = account_of
        self._noted_before = noted_before
        self._calls: dict[str, int] | None = None  # by sample, read when they are first needed

    def take_anew(self, file: Path, name: str) -> None:
        """Of rows that were not noted before, note also the calls that they cost, where these
        are lost as well.
        """
        ledger = self._ledger
        noted_ids = {trace_id(problem, sample) for problem, sample, _ in ledger.positions(name)}
        ledger.forget_shard(name)
        for number, offset, line in read_lines(file):
            try:
                trace = Trace.from_row(orjson.loads(line))
            except (orjson.JSONDecodeError, InputError, AttributeError) as error:
                raise InputError(
                    f"{file}:{number}: {error}: run `python -m generator check` and mend or move"
                    " the file"
                ) from None
            is_new = ledger.add_sample(trace, Position(name, offset, len(line)))
            if is_new and trace.id not in noted_ids and trace.id not in self._noted_before:
                self._note_lost_calls(trace)
            noted_ids.discard(trace.id)
        if noted_ids:
            # a power cut took rows: they are asked again, wherever in the source they stand
            ledger.note("place", "")

    def _note_lost_calls(self, trace: Trace) -> None:
        if self._calls is None:
            self._calls = self._ledger.calls_by_sample()
        noted_calls = self._calls.get(trace.id, 0)
        if noted_calls < trace.attempts:
            forget_proof(self._corpus)
            moment = datetime.datetime.fromisoformat(trace.finished_at).timestamp()
            account = self._account_of(trace.lane)
            self._ledger.add_past_calls(trace, account, moment, noted_calls)
