"""Who holds a part of an allowance: one corpus in one place.

A run that was killed is taken up by the next one on the same corpus, with what its block still had.
A copy of a corpus is somebody else: two that took themselves for one would use a block twice.
"""

import hashlib
import secrets
import socket
from pathlib import Path

from generator.corpus.ledger import Ledger

NOTE = "budget owner"
MACHINE_ID = Path("/etc/machine-id")


def owner_of(corpus: Path, ledger: Ledger) -> str:
    """The corpus' name among those that share, kept in its ledger. Errors: `CannotWrite`."""
    name = ledger.noted(NOTE)
    if not name:
        name = secrets.token_hex(8)
        ledger.note(NOTE, name)
        ledger.commit()
    place = hashlib.sha256(_place(corpus).encode()).hexdigest()[:16]
    return f"{name}-{place}"


def _place(corpus: Path) -> str:
    folder = corpus.resolve()
    status = folder.stat()
    return f"{_machine()} {folder} {status.st_dev} {status.st_ino}"


def _machine() -> str:
    try:
        machine = MACHINE_ID.read_text().strip()
    except OSError:
        machine = ""
    return f"{machine} {socket.gethostname()}"
