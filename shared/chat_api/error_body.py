"""What an error body says by its own fields: its sentence, the HTTP status that its code stands
for, and the setting that it names.

    {"error": {"code": "InvalidParameter", "param": "max_tokens", "message": "at most 16384"}}   400, lane.max_tokens

Servers put errors into streams and bodies under HTTP 200; there the code is all that tells whose
fault it is. Codes are numbers, numbers in quotes or names; of two, `code` says more than `type`.
Pure.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from shared.chat_api import wire

_CODE_FIELDS = ("code", "status_code", "http_status", "status", "error_code", "error_type", "type")
_INNER_FIELDS = ("error", "errors", "base_resp", "detail", "message")
_INNER_DEPTH = 4
_ECHOES = frozenset({"input", "body", "request"})  # FastAPI's names for what was sent to it
_WORDING_CHARACTERS = 4000
_SEARCHED_CHARACTERS = 400
# The first that matches counts: "InternalError.Algo.InvalidParameter" is Bailian's word for a bad
# request.
_STATUS_OF_NAME = (
    (
        401,
        r"api_?key|auth(?!or)|unauthori[sz]ed|permission|forbidden|access_?denied|invalid_?token",
    ),
    (402, r"balance|arrear|payment|billing|free_?tier"),
    (429, r"rate_?limit|too_?many|throttl|quota|exhausted|concurren|limit_?(exceeded|reached)"),
    (404, r"model_?not|not_?found|no_?such_?model|model_?does_?not"),
    (
        400,
        r"invalid_?(param|request|argument|input)|bad_?request|context_?length|inspection|content_?(filter|policy)",
    ),
    (500, r"overload|unavailable|server|internal|time_?d?_?out|busy|engine|upstream|provider"),
    (400, r"invalid|unsupported|too_(long|large)|param|unprocess|moderation|sensitive|validation"),
)
_STATUS_OF_WORDS = (
    (402, r"insufficient[ _]balance|balance is insufficient|arrearage|欠费|余额"),
    (429, r"rate[ -]?limit|too many (concurrent )?requests|over the limit|限流|限速|频率|并发"),
    (401, r"api[ _-]?key|unauthori[sz]ed|authentication"),
    (500, r"overload|try again|\bbusy\b|temporar|timed? ?out|繁忙|稍后"),
    (
        400,
        r"max(_completion|_new|_output)?_tokens|context (length|window)|too long|sensitive|违规|敏感"
        r"|(invalid|unsupported|unknown|bad) (param|field|request|value|argument)",
    ),
)
_SETTINGS = {
    "max_tokens": "lane.max_tokens",
    "max_completion_tokens": "lane.max_tokens",
    "max_new_tokens": "lane.max_tokens",
    "max_output_tokens": "lane.max_tokens",
    "model": "lane.model",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
}
_SETTING_OF_WORDS = (
    ("lane.max_tokens", r"max[_ ](completion[_ ]|new[_ ]|output[_ ])?tokens|max_?(output)?tokens"),
    (
        "lane.max_tokens",
        r"context(?=.{0,120}(requested|wanted|completion))|(requested|wanted|completion).{0,80}context",
    ),
    ("sampling.temperature", r"\btemperature\b"),
    ("sampling.top_p", r"\btop_p\b"),
    ("sampling.system_prompt", r"\bsystem[ _](role|prompt|message)|role\W{0,3}system"),
    ("lane.model", r"\b(invalid|unknown|no such|unsupported)\b.{0,20}\bmodel\b"),
)


def message_of(body: bytes) -> str:
    """The sentence in an error body (`error.message`, `message`, `detail`, …), else its text,
    in one line.
    """
    tree = parsed(body)
    if tree is not None:
        return wire.one_line(sentence(tree)) or "no message"
    text = body.decode("utf-8", "replace")
    page_text = re.sub(r"(?is)<(style|script).*?</\1>|<[^>]*>", " ", text)  # a gateway's page
    return wire.one_line(page_text) or "no message"


def wording(error: Any, body: bytes = b"") -> str:
    """All that a parsed error body says, or the text of one that is no JSON, on one line."""
    texts = [body.decode("utf-8", "replace")] if error is None else _texts(error)
    return " ".join(" ".join(texts).split())[:_WORDING_CHARACTERS]


def _texts(error: Any) -> Iterator[str]:
    """Every text of an error body but those of the request, where a server sends it back: it
    names every field.
    """
    if isinstance(error, str):
        yield error
    elif isinstance(error, list):
        for each in error:
            yield from _texts(each)
    elif isinstance(error, dict):
        for key, value in error.items():
            is_echo = key in _ECHOES and isinstance(value, dict | list)
            if not is_echo:
                yield from _texts(value)


def parsed(body: bytes) -> Any:
    """The body's JSON, None where it is none."""
    try:
        return wire.document(body).clean
    except wire.NotJson:
        return None


def sentence(error: Any) -> str:
    """What a parsed error body says, with its code where it has one."""
    if isinstance(error, list) and len(error) == 1:
        return sentence(error[0])
    if isinstance(error, dict):
        for key in (
            "error",
            "errors",
            "message",
            "detail",
            "msg",
            "error_msg",
            "error_message",
            "base_resp",
            "status_msg",
        ):
            if error.get(key):
                code = error.get("code")
                inner = sentence(error[key])
                if isinstance(code, str) and code not in inner:
                    return f"{inner} ({code})"
                return inner
    if isinstance(error, str):
        return error
    return orjson.dumps(error).decode()


def status_of(error: Any) -> int | None:
    """The HTTP status that an error under HTTP 200 stands for, by numbers, then names, then
    words; None: unknown.
    """
    nodes = list(_nodes(error))
    codes = [node.get(field) for node in nodes for field in _CODE_FIELDS]
    for code in codes:
        status = _number(code)
        if status is not None and 400 <= status < 600:
            return status
    for code in codes:
        named_status = _first_match(_STATUS_OF_NAME, code)
        if named_status is not None:
            return named_status
    words = (
        [error] if isinstance(error, str) else [text for node in nodes for text in node.values()]
    )
    for text in words:
        worded_status = _first_match(_STATUS_OF_WORDS, text)
        if worded_status is not None:
            return worded_status
    return None


def setting_of(error: Any, message: str) -> str:
    """The configuration key that a refusal complains of, "" where it names none. `message`: its
    sentence.
    """
    for node in _nodes(error):
        param = node.get("param")
        place = node.get("loc")  # pydantic's {"loc": ["body", "max_tokens"], "msg": …}
        if isinstance(place, list) and place:
            param = place[-1]
        if isinstance(param, str) and param.lower() in _SETTINGS:
            return _SETTINGS[param.lower()]
    for setting, words in _SETTING_OF_WORDS:
        if re.search(words, message, re.I):
            return setting
    return ""


def _nodes(error: Any, depth: int = _INNER_DEPTH) -> Iterator[dict[str, Any]]:
    """The objects of an error body, the innermost first: a gateway wraps what its provider said."""
    if isinstance(error, list):
        for each in error[:3]:
            yield from _nodes(each, depth)
    if not isinstance(error, dict) or depth == 0:
        return
    for field in _INNER_FIELDS:
        yield from _nodes(error.get(field), depth - 1)
    yield error


def _number(code: Any) -> int | None:
    if isinstance(code, str) and re.fullmatch(r"[1-9]\d{2}", code.strip()):
        return int(code)
    if type(code) is int:
        return code
    return None


def _first_match(table: tuple[tuple[int, str], ...], text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    start = text[:_SEARCHED_CHARACTERS]
    return next((status for status, pattern in table if re.search(pattern, start, re.I)), None)
