"""Keys and passwords, kept out of every text that is written or shown."""

import base64
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from shared.chat_api import wire

# A key of fewer characters ("EMPTY", "none", "1") stands in for one at a server that asks for none:
# it is no secret, and taken out of every text it would make holes in them.
SHORTEST_SECRET = 6
_HIDDEN = re.compile(r"[*•…]{2,}|\.{3,}|…")
_RUN = re.compile(r"[^\s\"'`,;:=<>(){}\[\]]{8,}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, apart from what is secret in its `base_url`:
    "https://user:password@host/v1".
    """

    url: str  # without user and password
    user: str
    password: str
    _written: tuple[str, str]  # both as they stand in the URL, percent-encoded

    @classmethod
    def of(cls, base_url: str) -> "Address":
        """Take a `base_url` apart."""
        parts = urlsplit(base_url)
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        written = (parts.username or "", parts.password or "")
        return cls(plain, unquote(written[0]), unquote(written[1]), written)

    @property
    def authorization(self) -> str:
        """The header that stands for user and password, "" where there is neither."""
        if not self.user and not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> list[str]:
        """Every spelling of the password; of the user, where that is all there is (a token)."""
        secret = (
            (self.password, self._written[1]) if self.password else (self.user, self._written[0])
        )
        encoded = self.authorization.removeprefix("Basic ")
        return [text for text in dict.fromkeys((*secret, encoded)) if text]


def database_secrets(address: str) -> list[str]:
    """Of "postgresql://user:password@host/name?password=…": the whole of it, and every spelling of
    the password.
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that do not close
        return [address] if address else []
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    passwords = [written, *parse_qs(parts.query).get("password", ())]
    texts = [address, *passwords, *map(unquote, passwords)]
    return [text for text in dict.fromkeys(texts) if text]


class Redactor:
    """Takes keys out of text: whole, in part, or masked by a provider that shows the ends
    ("sk-1…f3a9").
    """

    def __init__(self, *keys: str) -> None:
        self._keys = [key for key in keys if len(key) >= SHORTEST_SECRET]
        self._grams = {key[i : i + 8] for key in self._keys for i in range(len(key) - 7)}

    def clean(self, text: str) -> str:
        """`text` without whole keys, long parts of them and masked ones."""
        text = self.whole(text)
        if self._grams:
            return _RUN.sub(lambda match: self._clean_run(match[0]), text)
        return text

    def whole(self, text: str) -> str:
        """Only where all of a key stands: for names, which may well share a part with it."""
        for key in self._keys:
            text = text.replace(key, "[key]")
        return text

    def line(self, text: str) -> str:
        """`text` on one short line. Whole keys go first, before a cut can leave half of one."""
        return self.clean(wire.one_line(self.whole(text)))

    def body(self, body: bytes) -> bytes:
        """A reply's body where all of a key stands in it; it can still be read as JSON."""
        for key in self._keys:
            body = body.replace(key.encode(), b"[key]")
        return body

    def name(self, text: str) -> str:
        """A name from a reply; where it was cut, a part of a key may stand at its end."""
        if text.endswith("…"):
            return self.clean(text)
        return self.whole(text)

    def _clean_run(self, run: str) -> str:
        if any(run[i : i + 8] in self._grams for i in range(len(run) - 7)):
            return "[key]"
        parts = _HIDDEN.split(run) if _HIDDEN.search(run) else []
        shown = [part for part in parts if len(part) >= 3]
        ends = [
            p
            for p in shown
            for key in self._keys
            if key.startswith(p) or key.endswith(p.rstrip("."))
        ]
        return "[key]" if ends else run
