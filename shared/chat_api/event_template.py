"""The hot place: a whole block of a stream's usual events, read in one step. Pure.

Nearly all events of an answer differ in nothing but the text of one field. Once one of them was
understood the slow way (`dialects.py`), what stands before and behind that text is known, byte for
byte, and a block of such events is

    before TEXT behind \\n\\n before TEXT behind \\n\\n … before TEXT behind

To split a block at "behind, blank line, before" and to parse the texts as one JSON array costs a
sixth of parsing each event: no object is made for an event, nothing is looked up, and the garbage
collector has nothing to walk. Whatever does not fit to the byte (another field, usage, an
error, a comment, CRLF, half a surrogate pair, bytes that are no UTF-8) is `None` here, and the
block goes the slow way, whose result is the same for every block that fits.
"""

import re
from collections.abc import Iterable
from typing import Any

import orjson

_DATA_LINE = b"data:"
_BLANK_LINE = b"\n\n"
_TEXT_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "content")
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]|\\.)*')
_PROBE = "probe"
_TEXT = {str}
# Between two texts. No JSON text has a raw line break: where each line break of the array stands
# between texts, each of them was one whole text and nothing else.
_GLUE = b'"\n,"'


class EventTemplate:
    """What all events of a kind have in common. `field`: the delta's field that differs."""

    __slots__ = ("_before", "_behind", "_between", "_start", "_stop", "field")

    def __init__(self, field: str, before: bytes, behind: bytes) -> None:
        self.field = field
        self._before = before
        self._behind = behind
        self._between = behind + _BLANK_LINE + before
        self._start = len(before)
        self._stop = -len(behind)

    def texts(self, events: bytes) -> list[str] | None:
        """The text of each event, of one or more that a blank line divides; None where one is of
        another kind.
        """
        if not (events.startswith(self._before) and events.endswith(self._behind)):
            return None
        if len(events) < self._start - self._stop:
            return None
        pieces = events[self._start : self._stop].split(self._between)
        try:
            texts: list[str] = orjson.loads(b'["' + _GLUE.join(pieces) + b'"]')
        except orjson.JSONDecodeError:
            return None
        # As many as pieces, and every one a text: so no piece had a quotation mark of its own.
        if len(texts) != len(pieces) or set(map(type, texts)) != _TEXT:
            return None
        return texts

    def payload(self, text: str) -> bytes:
        """The JSON of an event of this kind, with this text."""
        return (self._before + orjson.dumps(text)[1:-1] + self._behind)[len(_DATA_LINE) :]


def template_of(event: bytes) -> EventTemplate | None:
    """The kind of an event that brought one text and nothing else of use; None for any other."""
    if not event.startswith(_DATA_LINE) or b"\n" in event:
        return None
    try:
        tree = orjson.loads(event[len(_DATA_LINE) :])
    except orjson.JSONDecodeError:
        return None
    field = _lone_text_field(tree)
    if field is None:
        return None
    opening = re.search(rb'"%s"\s*:\s*"' % field.encode(), event)
    if opening is None:
        return None
    rest = _REST_OF_TEXT.match(event, opening.end())
    assert rest is not None  # also of nothing
    template = EventTemplate(field, event[: opening.end()], event[rest.end() :])
    return template if _holds(template, tree) else None


def _holds(template: EventTemplate, tree: Any) -> bool:
    """Whether another text in the template's place is another text in the event's field, and
    nothing else: no field of the same name stands elsewhere, before or behind.
    """
    tree["choices"][0]["delta"][template.field] = _PROBE
    try:
        return bool(orjson.loads(template.payload(_PROBE)) == tree)
    except orjson.JSONDecodeError:
        return False


def _lone_text_field(tree: Any) -> str | None:
    """The field of the text that is all that an event has to say, by the rules of
    `Gathering._event`; None where it says anything else.
    """
    choices = tree.get("choices") if isinstance(tree, dict) else None
    if not choices or not isinstance(choices, list) or not isinstance(choices[0], dict):
        return None
    if not isinstance(tree.get("model"), str | None):
        return None
    choice = choices[0]
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return None
    says_more = _has_any(tree, ("error", "usage"))
    says_more = says_more or _has_any(choice, ("error", "usage", "finish_reason"))
    fields = [name for name in _TEXT_FIELDS if delta.get(name)]
    if says_more or len(fields) != 1 or not isinstance(delta[fields[0]], str):
        return None
    return fields[0]


def _has_any(tree: dict[str, Any], names: Iterable[str]) -> bool:
    return any(tree.get(name) for name in names)
