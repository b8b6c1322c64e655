r"""The final answer of a response: what stands in the last box, or after an explicit marker.

Every search is a plain string search or a pattern over a tail of bounded length, so that the cost does not depend on
what a hostile text contains.
"""

import re
from dataclasses import dataclass
from typing import Literal

from shared.prompts import THINK_CLOSE, THINK_OPEN

MAX_ANSWER = 10_000  # characters of one answer; a box that is not closed within them is not an answer
MAX_BOXES = 64  # of one trailing group
TAIL = 4_000  # characters from the end in which markers without a box are looked for

_BOXES = ("\\boxed", "\\fbox")
# What may stand between the boxes of one list: separators, delimiters, spacing, a short label such as `x =`.
_BETWEEN_BOXES = re.compile(
    r"(?=.*?(?:,|;|&|\band\b|\bor\b|、|，))"
    r"(?:[\s,;&$、，]|\\[()\[\],;:! ]|\\(?:q?quad|text|mathrm|mbox|and)\b|[{}~]|\b(?:and|or)\b|[A-Za-z]\w{0,3}\s*=)*",
    re.DOTALL,
)
_MARKER = re.compile(
    r"\b(?:answer|ans)\b[ \t]{0,4}\*{0,2}[ \t]{0,4}(?:[:：=]|\bis\b|\bare\b)[ \t]{0,4}(?::[ \t]{0,4})?(?:\*\*(?=\s))?",
    re.I,
)
_HEADING = re.compile(
    r"^[ \t]{0,8}(?:#{1,6}[ \t]{0,4})?\*{0,2}(?:final[ \t]{1,4})?answer\*{0,2}[ \t]{0,4}:?\*{0,2}[ \t]{0,8}$",
    re.I | re.M,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*(\s*:)?")
_NUMBER = re.compile(r"[-−]?[ ]?(?:\\?\$|€|£)?[ ]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?(?:\s?\\?%)?")
_AFTER_IS = re.compile(r"(?:=|\bis\b|\bare\b|\bequals\b)[\s*]{0,8}$", re.I)
NEAR = 60  # characters before a number that say what it is
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or the boxes of a trailing list in order. `how` says where it was found."""

    items: tuple[str, ...]
    how: str

    @property
    def text(self) -> str:
        return ", ".join(self.items)


@dataclass(frozen=True, slots=True)
class Missing:
    """No final answer, and why."""

    verdict: Literal["no_answer", "truncated"]
    reason: str


def extract(response: str) -> Answer | Missing:
    """The final answer of a response. Only what follows the last `</think>` counts.

    Order: the last box (or trailing group of boxes) inside `<answer>` tags if there are any, else anywhere; then
    `####`, "Answer:" and its like, a bold last number.
    """
    close = response.rfind(THINK_CLOSE)
    if response.rfind(THINK_OPEN) > close:
        return Missing("truncated", "the thinking never ends: <think> without </think>")
    text = response[close + len(THINK_CLOSE) :] if close >= 0 else response
    if not text.strip():
        return Missing("no_answer", "empty response")
    tagged = _inside_answer_tags(text)
    for part in (tagged, text) if tagged is not None else (text,):
        if (boxed := _boxed(part)) is not None:
            return boxed
    if tagged is not None and tagged.strip():
        return _bare(tagged)
    return _marked(text[-TAIL:])


def last_box(text: str) -> str | None:
    """What the last box holds, or None where there is no box, or it is blank or never closed."""
    found = _boxed(text)
    return found.items[-1] if isinstance(found, Answer) else None


def _inside_answer_tags(text: str) -> str | None:
    start = text.rfind("<answer>")
    if start < 0:
        return None
    end = text.find("</answer>", start)
    return text[start + len("<answer>") : end if end >= 0 else len(text)]


def _boxed(text: str) -> Answer | Missing | None:
    """The last box, with those before it that make one list with it."""
    start = _rfind_box(text, len(text))
    if start < 0:
        return None
    span = _box_content(text, start)
    if span is None:
        return Missing("no_answer", "the last box is never closed")
    boxes = [text[span[0] : span[1]].strip()]
    while len(boxes) < MAX_BOXES:
        before = _rfind_box(text, start, max(0, start - MAX_ANSWER))
        content = _box_content(text, before) if before >= 0 else None
        if content is None:
            break
        between = text[content[2] : start]
        if len(between) > 80 or not _BETWEEN_BOXES.fullmatch(between):
            break
        boxes.insert(0, text[content[0] : content[1]].strip())
        start = before
    if not all(re.sub(r"\\(?:[,;:! ]|$)|[\s{}~$]", "", box) for box in boxes):
        return Missing("no_answer", "the last box is blank")
    return Answer(tuple(boxes), "last box" if len(boxes) == 1 else f"trailing list of {len(boxes)} boxes")


def _rfind_box(text: str, end: int, start: int = 0) -> int:
    return max(text.rfind(name, start, end) for name in _BOXES)


def _box_content(text: str, start: int) -> tuple[int, int, int] | None:
    """(start, end, position behind it) of the content of the box that starts at `start`; None if it is never closed."""
    position = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
    limit = min(len(text), position + MAX_ANSWER)
    while position < limit and text[position].isspace():
        position += 1
    if position >= limit:
        return None
    if text[position] != "{":  # TeX's other form: one token
        token = re.compile(r"\\[A-Za-z]+|[-−]?[\w.,/]*\w").match(text, position, limit)
        return (position, token.end(), token.end()) if token else None
    depth, index = 0, position
    for brace in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, position, limit):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if depth == 0:
                index = brace.start()
                return position + 1, index, index + 1
    return None


def _marked(tail: str) -> Answer | Missing:
    """An answer that is marked without a box, from the end of the text."""
    lines = tail.rstrip().splitlines()
    if lines and lines[-1].lstrip().startswith("####"):
        return _found(lines[-1].lstrip()[4:], "no box; after '####'")
    markers = [*_MARKER.finditer(tail), *_HEADING.finditer(tail)]
    if markers:
        marker = max(markers, key=lambda match: match.end())
        return _found(_first_statement(tail[marker.end() :]), f"no box; after {' '.join(marker[0].split())!r}")
    for bold, colon in reversed(_BOLD.findall(tail)):
        if not colon and _NUMBER.search(bold) and len(_WORD.findall(bold)) <= 6:
            return _found(bold, "no box; last number in bold")
    return Missing("no_answer", "no box and no marked answer")


def _first_statement(text: str) -> str:
    """The first line with something on it, or the whole displayed formula that begins there."""
    text = text.lstrip("\r\n \t*:") if not text.lstrip().startswith("**") else text.lstrip()
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        if text.startswith(opening):
            end = text.find(closing, 2)
            return text[2 : end if end >= 0 else len(text)]
    line = text.partition("\n")[0]
    mate = {"$": "$", "\\(": "\\)"}.get(line.strip())  # an inline formula that begins on a line of its own
    return line if mate is None else text[len(line) : max(text.find(mate, len(line)), len(line))]


def _found(statement: str, how: str) -> Answer | Missing:
    chosen = _answer_in(statement)
    if chosen is None:
        return Missing("no_answer", f"{how}: no single answer in the sentence")
    return Answer((chosen,), how)


def _bare(tagged: str) -> Answer | Missing:
    """The text inside `<answer>` tags without a box: the whole if it is short, else the answer marked in it."""
    bare = tagged.strip()
    if len(bare) <= 200 and "\n" not in bare:
        return _found(bare, "no box; inside <answer>")
    marked = _marked(bare[-TAIL:])
    return Answer(marked.items, f"{marked.how}, inside <answer>") if isinstance(marked, Answer) else marked


def _answer_in(statement: str) -> str | None:
    """The answer that a short statement gives: the bold part, the formula, the only number, or the statement itself."""
    statement = statement.strip()
    for bold in reversed(re.findall(r"\*\*([^*\n]{1,200})\*\*", statement)):
        if bold.strip(" :"):
            statement = bold.strip()
            break
    statement = statement.strip("* \t").rstrip(".。 ")
    formulas = re.findall(r"\\\((.{1,300}?)\\\)|(?<!\\)\$([^$]{1,300}?)(?<!\\)\$(?!\d)", statement)
    spoken = _WORD.findall(re.sub(r"\\[A-Za-z]+\s*\{[^{}]*\}", "", statement))
    words = [word for word in spoken if not word.isupper()]  # AB, ABC: points and segments
    if not statement:
        return None
    if len(formulas) == 1 and words:
        return str(formulas[0][0] or formulas[0][1]).strip()
    numbers = list(_NUMBER.finditer(statement))
    if not words or (len(words) <= 4 and (not numbers or numbers[0].start() == 0)):
        return statement
    return _number_of_sentence(statement, numbers)


def _number_of_sentence(sentence: str, numbers: list[re.Match[str]]) -> str | None:
    if len(numbers) > 1:
        money = [match for match in numbers if match[0].strip(" -−")[0] in "\\$€£"]
        stated = [
            match for match in numbers if _AFTER_IS.search(sentence[max(0, match.start() - NEAR) : match.start()])
        ]
        numbers = money if len(money) == 1 else stated[-1:]
    return numbers[0][0].strip() if numbers else None
