"""Who may ask what of the server: addresses, hosts, origins and the token. Pure but for reading the
host's name.

- Elsewhere than on loopback nothing is served without a token, and nothing is read without it.
- No POST works without the token, on loopback too: a page in the user's browser can send POSTs
  there.
- A request whose Host is not one of ours is refused (DNS rebinding: a foreign name that suddenly
  means 127.0.0.1), and so is one that a foreign page sends (Origin, Sec-Fetch-Site).
"""

import base64
import binascii
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.errors import InputError

OPEN_PATHS = ("/healthz", "/readyz")  # for a supervisor that has no token


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """Why a request is not let through: an HTTP status and a sentence."""

    status: int
    message: str


class Access:
    """The rules for one bound address. `token` "" means that there is none."""

    def __init__(self, host: str, token: str, token_env: str) -> None:
        """Errors: InputError for an address elsewhere than on loopback without a token."""
        self.loopback = is_loopback(host)
        self._token = token
        self._token_env = token_env
        if not self.loopback and not token:
            raise InputError(
                f"daemon.host {host}: the server listens elsewhere than on loopback only with a"
                f" token: export {token_env}=… or set daemon.host = 127.0.0.1"
            )
        self._names = {"localhost", host.lower().strip("[]")}
        if not self.loopback:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> AccessRefusal | None:
        """None where the request is let through."""
        if not self._is_our_host(headers.get("Host", "")):
            return AccessRefusal(403, "this Host is not served here")
        if self._comes_from_elsewhere(method, headers):
            return AccessRefusal(403, "requests from other sites are refused")
        if method not in ("GET", "HEAD"):
            return None if self._bears_token(headers, basic=False) else self._no_token()
        is_open = self.loopback or path in OPEN_PATHS
        if is_open or self._bears_token(headers, basic=True):
            return None
        return AccessRefusal(
            401, f"give the token of {self._token_env}, as a bearer token or as the password"
        )

    def _no_token(self) -> AccessRefusal:
        if not self._token:
            return AccessRefusal(
                401, f"POSTs need a token: set {self._token_env} and start the run again"
            )
        return AccessRefusal(401, f"give the token of {self._token_env}: Authorization: Bearer …")

    def _is_our_host(self, host: str) -> bool:
        """Ours are the names we know and, elsewhere than on loopback, any address: no name, so
        nothing to rebind.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.loopback

    def _comes_from_elsewhere(self, method: str, headers: Mapping[str, str]) -> bool:
        origin = headers.get("Origin")
        site = headers.get("Sec-Fetch-Site", "")
        host = headers.get("Host", "").lower()
        if origin is not None and _host_of(origin) != host:
            return True
        is_link = method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate"
        return site in ("cross-site", "same-site") and not is_link

    def _bears_token(self, headers: Mapping[str, str], basic: bool) -> bool:
        """`basic`: a browser's password prompt will do. Not for POSTs: browsers send it along
        with foreign forms.
        """
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if basic and kind.lower() == "basic":
            try:
                credentials = base64.b64decode(token, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return False
            token = credentials.partition(":")[2]
        elif kind.lower() != "bearer":
            return False
        # in a time that tells nothing of how much of it is right
        sent_token = token.strip().encode(errors="surrogateescape")  # as aiohttp decodes headers
        is_equal = hmac.compare_digest(sent_token, self._token.encode())
        return bool(self._token) and is_equal


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_of(origin: str) -> str | None:
    """The host that an Origin names; None where it is no address (`null`, `http://[`)."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
