r"""Answers in parts: `(1) 5; (2) 7`, `(I) x>2 (II) 4`, `① 3 ② 8`, `1. 6 2. 9`."""

import re

MAX_PARTS = 12

_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_DRESSED = r"(?:\\text\{{\s*)?\(\s*(?:\\text\{{\s*)?({label})(?:\s*\}})?\s*\)(?:\s*\}})?"
_LABELS = (
    re.compile(_DRESSED.format(label=r"\d{1,2}")),
    re.compile(_DRESSED.format(label="[ivx]{1,4}"), re.I),
    re.compile(_DRESSED.format(label="[a-h]")),
    re.compile(r"(?:\\text\{)?([①-⑫])\}?,?"),
    re.compile(r"(?:(?<=^)|(?<=[\s;,]))(\d{1,2})[.)](?=\s)"),
    re.compile(
        r"(?:\\text\{\s*)?(?:question|part|problem)\s*\(?(\d{1,2})\)?\s*[.:]?\s*\}?\s*:?", re.I
    ),
)

_FIRST = frozenset("(\\①1qQpP")  # what a label can begin with


def read_parts(text: str) -> tuple[str, ...] | None:
    """The parts of a cleaned answer whose labels count up from the first, or None where it has
    none.
    """
    if text[:1] not in _FIRST:
        return None
    for label in _LABELS:
        if not label.match(text):
            continue
        labels = list(label.finditer(text))
        numbers = [_number(match[1]) for match in labels]
        if not 1 < len(labels) <= MAX_PARTS or numbers != list(range(1, len(labels) + 1)):
            continue
        ends = [match.start() for match in labels[1:]] + [len(text)]
        parts = tuple(
            text[match.end() : end].strip(" ,;.:\\")
            for match, end in zip(labels, ends, strict=True)
        )
        if all(parts) and not any(part[0] in "+-*/^=" and len(part) < 2 for part in parts):
            return parts
    return None


def _number(label: str) -> int:
    if label.isdigit() and label.isascii():
        return int(label)
    if "①" <= label <= "⑫":
        return ord(label) - ord("①") + 1
    letters = label.casefold()
    if letters in _ROMAN:
        return _ROMAN.index(letters) + 1
    return ord(letters[0]) - ord("a") + 1
