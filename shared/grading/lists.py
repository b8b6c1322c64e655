r"""Lists, tuples and sets as an answer writes them, and the labels of their items (`x = 1, y = 2`)."""

import re
from dataclasses import dataclass

from shared.grading.normalise import squash
from shared.grading.splitting import bracketed, read_matrix, split_outside

# The name of what was asked: a letter, f(x), AB, |AB|, \angle ABC, [ABC], P(A), (x, y), plain words.
_LABEL = re.compile(
    r"^(?:\\?[A-Za-z]+'*(?:\s*_\s*(?:\{[^{}]{1,20}\}|\w))?(?:\s*\([^()=]{1,30}\))?|\|[A-Z]{2}\|"
    r"|m?\s*\\angle\s*[A-Z]{1,3}|\[[A-Z]{3,6}\]|(?:\\text\{[^{}]*\}\s*)+(?:_\{?\w+\}?)?|\([a-z\\, ]{1,40}\)"
    r"|[A-Za-z ]{3,40}|\\triangle\s*[A-Z]{3})$"
)
_SEPARATORS = r",|;|\\text\{[\s,]*(?:and|or)\s*\}|\b(?:and|or)\b"
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Listed:
    """`kind`: tuple (brackets, in order), set (braces), list (bare), boxes (several boxes, in order), single."""

    kind: str
    items: tuple[str, ...]
    brackets: str = ""


def is_label(text: str) -> bool:
    return len(text) <= 80 and _LABEL.match(text) is not None


def split_label(item: str) -> tuple[str, str]:
    """("x", "5") of "x = 5"; ("", item) without a label."""
    name, equals, value = item.partition("=")
    if equals and "=" not in value and is_label(name.strip()):
        return squash(name.strip()), value.strip()
    return "", item


def read_list(text: str) -> Listed | None:
    """The list that a cleaned answer is, or None if it is one thing."""
    group = bracketed(text)
    if group is not None and group[0] != "{":
        opening, body, closing = group
        parts = _parts(body)
        if opening == "\\{" and closing == "\\}":
            return Listed("set", parts)
        if len(parts) > 1 and opening in "([" and closing in ")]":
            return Listed("tuple", parts, opening + closing)
        return None
    label, value = split_label(text)
    if label and bracketed(value) is not None:
        return read_list(value)
    parts = _parts(text)
    return Listed("list", parts) if len(parts) > 1 else None


def read_rows(text: str) -> list[list[str]] | None:
    """The entries of a matrix, the factor in front multiplied in; a tuple stands for a column."""
    matrix = read_matrix(text)
    if matrix is None:
        listed = read_list(text)
        return [[item] for item in listed.items] if listed is not None and listed.kind == "tuple" else None
    factor, rows = matrix
    name, equals, behind = factor.rpartition("=")
    factor = behind.strip() if equals and is_label(name.strip()) else factor
    return rows if not factor else [[f"({factor})({entry})" for entry in row] for row in rows]


def _parts(body: str) -> tuple[str, ...]:
    parts: list[str] = []
    for part in split_outside(body, _SEPARATORS):
        if part.strip(" \\"):
            parts += _both_signs(part.strip())
    return tuple(parts)


def _both_signs(text: str) -> tuple[str, ...]:
    """`1 \\pm 2` is two items."""
    if not _PLUS_MINUS.search(text):
        return (text,)
    signed = (_PLUS_MINUS.sub(lambda match, s=signs: s[match[1] == "mp"], text) for signs in ("+-", "-+"))  # type: ignore[misc]
    return tuple(re.sub(r"^\s*\+|(?<==)\s*\+", "", item) for item in signed)
