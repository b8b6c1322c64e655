r"""The final answer of a response: what stands in the last box, or after an explicit marker.

Every search is a plain string search or a pattern over a tail of bounded length, so that the cost
does not depend on what a hostile text contains.
"""

import re
from dataclasses import dataclass
from typing import Literal

from shared.grading.answer_markers import answer_in, marked_answer
from shared.thinking import spoken

MAX_ANSWER = 10_000  # characters of one; a box that is not closed within them is no answer
MAX_BOXES = 64  # of one trailing group
TAIL = 4_000  # characters from the end in which markers without a box are looked for

_BOXES = ("\\boxed", "\\fbox")
_BOXED_TOKEN = re.compile(r"\\[A-Za-z]+|[-−]?[\w.,/]*\w")  # of TeX's form without braces
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BLANK = re.compile(r"\\(?:[,;:! ]|$)|[\s{}~$]")
# What may stand between the boxes of one list: separators, delimiters, spacing, a short label such
# as `x =`.
_BETWEEN_BOXES = re.compile(
    r"(?=.*?(?:,|;|&|\band\b|\bor\b|、|，))"
    r"(?:[\s,;&$、，]|\\[()\[\],;:!"
    r" ]|\\(?:q?quad|text|mathrm|mbox|and)\b|[{}~]|\b(?:and|or)\b|[A-Za-z]\w{0,3}\s*=)*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """One answer, or the boxes of a trailing list in order. `how` says where it was found."""

    items: tuple[str, ...]
    how: str

    @property
    def text(self) -> str:
        """The answer as one text, the boxes of a list behind one another."""
        return ", ".join(self.items)


@dataclass(frozen=True, slots=True)
class Missing:
    """No final answer, and why."""

    verdict: Literal["no_answer", "truncated"]
    reason: str


def extract(response: str) -> FinalAnswer | Missing:
    """The final answer of a response. Only what stands outside the thinking counts.

    Order: the last box (or trailing group of boxes) inside `<answer>` tags if there are any, else
    anywhere; then `####`, "Answer:" and its like, a bold last number.
    """
    text = spoken(response)
    if text is None:
        return Missing("truncated", "the thinking never ends: <think> without </think>")
    if not text.strip():
        return Missing("no_answer", "empty response")
    tag_content = _inside_answer_tags(text)
    for part in (tag_content, text) if tag_content is not None else (text,):
        box_answer = _boxed(part)
        if box_answer is not None:
            return box_answer
    if tag_content is not None and tag_content.strip():
        return _bare(tag_content)
    return _marked(text[-TAIL:])


def boxes_in_parts(response: str, count: int) -> FinalAnswer | None:
    """The boxes of a response that has exactly `count` of them, each on a line of its own; else
    None.
    """
    text = spoken(response) or ""
    if not 1 < count <= MAX_BOXES or sum(text.count(name) for name in _BOXES) != count:
        return None
    boxes: list[str] = []
    end = 0
    for _ in range(count):
        start = _find_box(text, end)
        if start < 0:
            return None  # one box lies within another
        content = _box_content(text, start)
        if content is None or (boxes and "\n" not in text[end:start]):
            return None
        boxes.append(text[content[0] : content[1]].strip())
        end = content[2]
    if all(boxes):
        return FinalAnswer(tuple(boxes), f"{count} boxes, one for each part")
    return None


def last_box(text: str) -> str | None:
    """What the last box holds, or None where there is no box, or it is blank or never closed."""
    answer = _boxed(text)
    if isinstance(answer, FinalAnswer):
        return answer.items[-1]
    return None


def _inside_answer_tags(text: str) -> str | None:
    start = text.rfind("<answer>")
    if start < 0:
        return None
    end = text.find("</answer>", start)
    return text[start + len("<answer>") : end if end >= 0 else len(text)]


def _boxed(text: str) -> FinalAnswer | Missing | None:
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
    if not all(_BLANK.sub("", box) for box in boxes):
        return Missing("no_answer", "the last box is blank")
    return FinalAnswer(
        tuple(boxes), "last box" if len(boxes) == 1 else f"trailing list of {len(boxes)} boxes"
    )


def _find_box(text: str, start: int) -> int:
    places = [text.find(name, start) for name in _BOXES]
    return min((place for place in places if place >= 0), default=-1)


def _rfind_box(text: str, end: int, start: int = 0) -> int:
    boxed = text.rfind("\\boxed", start, end)
    return max(boxed, text.rfind("\\fbox", max(boxed, start), end))


def _box_content(text: str, start: int) -> tuple[int, int, int] | None:
    """(start, end, position behind it) of the content of the box that starts at `start`; None
    if it is never closed.
    """
    position = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
    limit = min(len(text), position + MAX_ANSWER)
    while position < limit and text[position].isspace():
        position += 1
    if position >= limit:
        return None
    if text[position] != "{":  # TeX's other form: one token
        token = _BOXED_TOKEN.match(text, position, limit)
        if token:
            return (position, token.end(), token.end())
        return None
    depth = 0
    for brace in _BRACE.finditer(text, position, limit):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if depth == 0:
                return position + 1, brace.start(), brace.end()
    return None


def _marked(tail: str) -> FinalAnswer | Missing:
    """An answer that is marked without a box, from the end of the text."""
    chosen, how = marked_answer(tail)
    if chosen is None:
        return Missing("no_answer", how)
    return FinalAnswer((chosen,), how)


def _bare(content: str) -> FinalAnswer | Missing:
    """The text inside `<answer>` tags without a box: the whole if it is short, else the answer
    marked in it.
    """
    bare = content.strip()
    if len(bare) <= 200 and "\n" not in bare:
        value = answer_in(bare)
        how = "no box; inside <answer>"
        if value is None:
            return Missing("no_answer", f"{how}: no single answer")
        return FinalAnswer((value,), how)
    answer = _marked(bare[-TAIL:])
    if isinstance(answer, FinalAnswer):
        return FinalAnswer(answer.items, f"{answer.how}, inside <answer>")
    return answer
