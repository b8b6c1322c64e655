"""How all parts of a corpus stand, read from their ledgers: while they run and after it."""

from pathlib import Path

import orjson

from generator.corpus.ledger import Ledger
from generator.monitor.merged import PartState, PartStatus, status_from
from generator.parts.part import is_done
from shared.errors import InputError
from shared.folder_lock import holder
from shared.parts import part_folder


def part_status(corpus: Path, number: int, digest: str | None = None) -> PartStatus:
    """One part now. `digest`: of the task at hand; None: whatever it came to the end of."""
    folder = part_folder(corpus, number)
    state = _state(folder, digest)
    path = folder / "ledger.sqlite"
    if not path.exists():
        return PartStatus(number, state, 0, 0, None)
    try:
        ledger = Ledger(path, read_only=True)
    except InputError:  # it is being made this moment
        return PartStatus(number, state, 0, 0, None)
    try:
        totals = ledger.totals()
        snapshot = orjson.loads(ledger.noted("status") or "{}")
    finally:
        ledger.close()
    kept_samples = sum(total.samples for total in totals if total.pile == "traces")
    rejected_samples = sum(total.samples for total in totals if total.pile == "rejected")
    return PartStatus(
        number, state, kept_samples, rejected_samples, status_from(snapshot) if snapshot else None
    )


def _state(folder: Path, digest: str | None) -> PartState:
    if holder(folder) is not None:
        return "running"
    if is_done(folder, digest):
        return "done"
    return "ended" if (folder / "ledger.sqlite").exists() else "waiting"
