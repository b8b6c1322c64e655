"""Where the peers live: an environment each under `.cache/peers`, made once from PyPI with pinned
versions. Nothing of that counts in the measurements.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.errors import InputError

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "peers"
CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that does the same work.

    Attributes:
        pins: what pip installs; empty: this program's own environment.
        streams: whether it asks for streams; else it is given whole replies.
    """

    name: str
    title: str
    pins: tuple[str, ...]
    streams: bool

    @property
    def python(self) -> Path:
        return PLACE / self.name / "bin" / "python" if self.pins else Path(sys.executable)

    @property
    def script(self) -> Path:
        return CLIENTS / f"{self.name}.py"

    @property
    def version(self) -> str:
        """Of its main package."""
        return self.pins[0].partition("==")[2] if self.pins else ""


PEERS = (
    Peer("stillhouse", "Stillhouse", (), True),
    Peer("sdk", "openai SDK", ("openai==3.54.0", "uvloop==0.23.0"), True),
    Peer("curator", "bespokelabs-curator", ("bespokelabs-curator==0.1.31",), False),
    Peer("designer", "data-designer", ("data-designer==0.9.7",), False),
)


def foreign_environment() -> dict[str, str]:
    """This process's environment without what would lead another Python to this checkout, or have
    it compile every module at every start.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def prepare(peer: Peer) -> None:
    """Make the peer's environment unless it stands. Errors: `InputError` where pip fails."""
    place = PLACE / peer.name
    mark = place / ".ready"
    pins = "\n".join(peer.pins)
    if not peer.pins or (mark.exists() and mark.read_text() == pins):
        return
    print(f"setting up {peer.title} in {place} (once, some minutes)", file=sys.stderr, flush=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(peer.python), "-m", "pip", "install", "-q", *peer.pins],
        [str(peer.python), "-m", "pip", "check"],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=foreign_environment()
        )
        if done.returncode:
            last_lines = (done.stdout + done.stderr).strip().splitlines()[-3:]
            raise InputError(f"{peer.title} cannot be installed: {' '.join(last_lines)}")
    mark.write_text(pins)
