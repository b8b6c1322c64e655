"""What a server sent, made safe to hold. THE boundary: nothing from a reply is used that did not
come through here.

Behind it a structure is at most `DEPTH` levels deep, a text can be encoded as UTF-8, and a number
is finite and fits into 64 bits, so that no log, ledger, shard or page can fail on it. Pure.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

DEPTH = 32  # levels; a chunk of a stream has five
LINE_CHARACTERS = 400
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MARK_BYTES = len(_BYTE_ORDER_MARK)
_LARGEST_INTEGER = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)  # line breaks, and the direction of writing


class NotJson(ValueError):
    """Bytes that no reader of JSON takes."""


class Document(NamedTuple):
    """A reply's JSON. `raw` keeps half a surrogate pair: the other half may come with the
    stream's next event.
    """

    clean: Any
    raw: Any


def document(payload: bytes) -> Document:
    """What `payload` says, also where orjson refuses what servers send: half surrogates, NaN,
    numbers without end.

    Errors: `NotJson`, also for nesting that no parser follows.
    """
    try:
        tree = orjson.loads(payload)
    except orjson.JSONDecodeError:
        tree = _lenient(payload)
        return Document(clean(tree), tree)
    # orjson gives whole texts and finite numbers. To count brackets is cheaper than to walk; they
    # stand in texts, too.
    if payload.count(b"{") + payload.count(b"[") > DEPTH:
        tree = clean(tree)
    return Document(tree, tree)


def clean(value: Any, depth: int = DEPTH) -> Any:
    """`value` with what is too deep as "…", texts whole, and numbers that fit nowhere as None."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict | list) and depth == 0:
        return "…"
    if isinstance(value, dict):
        return {whole(str(key)): clean(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [clean(each, depth - 1) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return None
    return value


def whole(text: str) -> str:
    """`text` with surrogate pairs that came in halves put together; a half without its other
    half is replaced.
    """
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def one_line(text: str) -> str:
    """`text` for a line of a log or a terminal, which no provider is to steer."""
    line = " ".join(_CONTROL.sub(" ", whole(text[: 16 * LINE_CHARACTERS])).split())
    return line if len(line) <= LINE_CHARACTERS else line[: LINE_CHARACTERS - 1] + "…"


def name(value: Any) -> str:
    """A model's name or a finish_reason as one short line; what no server calls one stays
    recognisable as that.
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    return one_line(_CONTROL.sub("\ufffd", text[: 2 * LINE_CHARACTERS]))


def headers(sent: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case. aiohttp gives bytes that are no UTF-8 as half
    surrogates.
    """
    return {whole(key).lower(): one_line(value) for key, value in sent}


def without_mark(block: bytes) -> bytes:
    """The first bytes of a reply without a byte order mark."""
    return block.removeprefix(_BYTE_ORDER_MARK)


def _lenient(payload: bytes) -> Any:
    text = without_mark(payload.strip()).decode("utf-8", "replace")
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        raise NotJson from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 20 else None
