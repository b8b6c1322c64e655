r"""Lists, tuples and sets as an answer writes them, and the labels of their items (`x = 1, y =
2`).
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from shared.grading.normalise import squash
from shared.grading.splitting import Matrix, bracketed, cut_outside, read_matrix

# The name of what was asked: a letter, f(x), AB, |AB|, \angle ABC, [ABC], P(A), (x, y), plain
# words.
_LABEL = re.compile(
    r"^(?:\\?[A-Za-z]+'*(?:\s*_\s*(?:\{[^{}]{1,20}\}|\w))?(?:\s*\([^()=]{1,30}\))?|\|[A-Z]{2}\|"
    r"|m?\s*\\angle\s*[A-Z]{1,3}|\[[A-Z]{3,6}\]|(?:\\text\{[^{}]*\}\s*)+(?:_\{?\w+\}?)?|\([a-z\\,"
    r" ]{1,40}\)"
    r"|[A-Za-z ]{3,40}|\\triangle\s*[A-Z]{3}|\\(?:bar|hat)\{[A-Za-z]\}|\\vec\{[A-Z]{2}\}"
    r"|[fgh]\s*\^\s*\{[^{}]{1,6}\}\s*\([^()=]{1,30}\))$"
)
_SEPARATORS = r",|;|\\text\{[\s,]*(?:and|or)\s*\}|\b(?:and|or)\b"
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Listed:
    """`kind`: tuple (brackets, in order), set (braces), list (bare), boxes (several boxes, in
    order), single.
    """

    kind: str
    items: tuple[str, ...]
    brackets: str = ""
    connectives: tuple[str, ...] = ()  # "and", "or" where they stand between the items, in order
    label: str = ""  # of the whole: "(x,y)" of (x,y) = (1,2)


def is_label(text: str) -> bool:
    """Whether a text can be the name of what was asked."""
    return len(text) <= 80 and _LABEL.match(text) is not None


class Item(NamedTuple):
    """One item of a list; `label` is "" where it has none."""

    label: str
    value: str


def split_label(item: str) -> Item:
    """("x", "5") of "x = 5"; ("", item) without a label."""
    name, equals, value = item.partition("=")
    if equals and "=" not in value and is_label(name.strip()):
        return Item(label_key(name.strip()), value.strip())
    return Item("", item)


def label_key(name: str) -> str:
    """One spelling for one label: `AB`, `|AB|` and `BA`; `a_{n}` and `a_n`. Indices, primes and
    arguments all count.
    """
    key = re.sub(r"\\text\{([^{}]*)\}", r"\1", name)
    key = re.sub(r"_\s*\{\s*(\w)\s*\}", r"_\1", re.sub(r"^m\s*(?=\\angle)", "", key))
    key = squash(key).replace(" ", "")
    segment = re.fullmatch(r"\|([A-Z]{2})\||([A-Z]{2})", key)
    if segment:
        return "".join(sorted(segment[1] or segment[2]))
    figure = re.fullmatch(r"\\angle([A-Z]{3})", key)
    if figure:
        return "\\angle" + min(figure[1], figure[1][::-1])
    if re.fullmatch(r"[A-Za-z]{4,}|[A-Za-z]\([a-z]\)", key):
        return key.casefold()
    return key


def base_of_label(key: str) -> str:
    """The letter of an indexed label: "x" of "x_1"; else the label itself."""
    match = re.fullmatch(r"([a-z])_\{?\d\}?", key)
    return match[1] if match else key


def read_list(text: str) -> Listed | None:
    """The list that a cleaned answer is, or None if it is one thing."""
    group = bracketed(text)
    if group is not None and group[0] != "{":
        opening, body, closing = group
        parts, connectives = _parts(body)
        if opening == "\\{" and closing == "\\}":
            return Listed("set", parts, connectives=connectives)
        if len(parts) < 2 or opening not in "([" or closing not in ")]":
            return None
        brackets = opening + closing
        if len(parts) > 2 and brackets not in ("()", "[]"):
            return None  # (1,2] is an interval, (1,2,3] is nothing
        return Listed("tuple", parts, brackets, connectives)
    label, value = split_label(text)
    if label and bracketed(value) is not None:
        inner_list = read_list(value)
        if inner_list is None:
            return None
        return replace(inner_list, label=label)
    parts, connectives = _parts(text)
    if len(parts) > 1:
        return Listed("list", parts, connectives=connectives)
    return None


def in_order_of_label(gold: Listed, answer: Listed) -> Listed | None:
    """The answer's tuple in the order of the gold's label; None where the two labels name
    different things.
    """
    gold_names = _names_in(gold.label)
    answer_names = _names_in(answer.label)
    if not gold_names and not answer_names:
        return answer if gold.label == answer.label else None
    if not gold_names or not answer_names or gold_names == answer_names:
        return answer
    if len(set(answer_names)) != len(answer.items) or set(gold_names) != set(answer_names):
        return None
    items = (answer.items[answer_names.index(name)] for name in gold_names)
    return replace(answer, items=tuple(items))


def _names_in(label: str) -> list[str]:
    """The names in a label such as "(x, y)"; none in any other."""
    if not label.startswith("(") or "," not in label:
        return []
    return [part.strip() for part in label[1:-1].split(",")]


def read_rows(text: str) -> Matrix | None:
    """A matrix with the factor in front multiplied in; a tuple stands for a column."""
    matrix = read_matrix(text)
    if matrix is None:
        column = read_list(text)
        if column is None or column.kind != "tuple" or column.connectives:
            return None
        return Matrix("", [[item] for item in column.items], "matrix")
    name, equals, behind = matrix.factor.rpartition("=")
    factor = behind.strip() if equals and is_label(name.strip()) else matrix.factor
    if factor:
        front = "-" if factor == "-" else f"({factor})"
        rows = [[f"{front}({entry})" for entry in row] for row in matrix.rows]
    else:
        rows = matrix.rows
    return Matrix(name.strip() if equals else "", rows, matrix.kind)


def _parts(body: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces, separators = cut_outside(body, _SEPARATORS)
    parts: list[str] = []
    for piece in pieces:
        if piece.strip(" \\"):
            parts += _both_signs(piece.strip())
    words = (
        re.sub(r"\\text|[^a-z]", "", separator) for separator in separators if len(separator) > 1
    )
    return tuple(parts), tuple(word for word in words if word)


def _both_signs(text: str) -> tuple[str, ...]:
    """`1 \\pm 2` is two items."""
    if not _PLUS_MINUS.search(text):
        return (text,)
    upper = _PLUS_MINUS.sub(lambda match: "-" if match[1] == "mp" else "+", text)
    lower = _PLUS_MINUS.sub(lambda match: "+" if match[1] == "mp" else "-", text)
    readings = (upper, lower)
    return tuple(re.sub(r"^\s*\+|(?<==)\s*\+", "", item) for item in readings)
