"""Is a `base_url` the address of a server at all? What is none is told before the first call."""

import re
from urllib.parse import urlsplit

HOST_CHARACTERS_MAX = 253
LABEL_CHARACTERS_MAX = 63
_FOREIGN = re.compile(r"[\x00-\x20\x7f]")


def names_a_server(url: str) -> bool:
    """Whether `url` is http:// or https:// with a host, and with a port that can be called."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port beyond 65535
        return False


def can_be_looked_up(url: str) -> bool:
    """Whether the host of `url` is a name that a resolver takes, in ASCII or by IDNA, or an
    address.
    """
    from yarl import URL  # the HTTP client's own reading; the programs' other commands go without

    try:
        host = URL(url).raw_host or ""
        shown_host = URL(url).host or ""  # with its xn-- labels decoded
    except ValueError:  # no IDNA name
        return False
    if ":" in host:  # an IPv6 address, perhaps with its zone
        return True
    labels = host.removesuffix(".").split(".")
    are_labels = all(1 <= len(label) <= LABEL_CHARACTERS_MAX for label in labels)
    is_foreign = _FOREIGN.search(host) or "%" in host
    return bool(shown_host) and are_labels and not is_foreign and len(host) <= HOST_CHARACTERS_MAX
