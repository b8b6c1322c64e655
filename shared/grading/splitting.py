r"""Cutting an answer where no bracket is open: lists, brackets around the whole, rows of a
matrix.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_OPEN = ("(", "[", "\\{", "{")
_CLOSE = (")", "]", "\\}", "}")
_GROUP = re.compile(r"\\[{}]|\\[A-Za-z]+|[()\[\]{}]")
MAX_PARTS = 200


@lru_cache(maxsize=64)
def _scanner(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<separator>{separator})|\\\\|\\[{{}}]|[()\[\]{{}}]")


def split_outside(text: str, separator: str) -> list[str]:
    """`text` cut at every match of the pattern `separator` that stands outside all brackets."""
    return cut_outside(text, separator)[0]


def cut_outside(text: str, separator: str) -> tuple[list[str], list[str]]:
    """The same, and the separators between the parts."""
    parts: list[str] = []
    separators: list[str] = []
    start = depth = 0
    for match in _scanner(separator).finditer(text):
        if match["separator"] is not None:
            if depth == 0 and len(parts) < MAX_PARTS:
                parts.append(text[start : match.start()])
                separators.append(match["separator"])
                start = match.end()
        elif match[0] in _OPEN:
            depth += 1
        elif match[0] in _CLOSE:
            depth = max(0, depth - 1)
    return [*parts, text[start:]], separators


def bracketed(text: str) -> tuple[str, str, str] | None:
    """(opening, body, closing) where one pair of brackets, perhaps of unlike kinds as in
    `(3,4]`, holds the whole.
    """
    text = text.strip()
    depth = 0
    for match in _GROUP.finditer(text):
        if match[0] in _OPEN:
            if match.start() == 0:
                opening = match[0]
            elif depth == 0:
                return None
            depth += 1
        elif match[0] in _CLOSE:
            depth -= 1
            if depth == 0:
                if match.end() == len(text):
                    return (opening, text[len(opening) : match.start()], match[0])
                return None
        elif depth == 0:
            return None
        if depth < 0:
            return None
    return None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`factor` stands in front. `kind`: matrix, determinant, norm, or cases (a system, a
    function in pieces).
    """

    factor: str
    rows: list[list[str]]
    kind: str


_MATRIX = re.compile(
    r"^(?P<factor>.*?)(?P<opening>[(\[|]|\\\||\\\{)?\s*\\begin\s*\{(?P<name>[pbvBV]?(?:small)?matrix|array|cases)\}"
    r"\s*(?:\{[lcr| ]*\})?(?P<body>.*)\\end\s*\{(?P=name)\}\s*(?P<closing>[)\]|]|\\\||\\\})?"
    r"\s*(?P<transposed>\^\s*(?:\{\s*(?:T|\\top)\s*\}|T|\\top))?$",
    re.DOTALL,
)
_ROW_END = re.compile(r"\\\\(?:\[[^\]]*\])?")
_KINDS = {"v": "determinant", "V": "norm", "|": "determinant", "\\|": "norm"}


def read_matrix(text: str) -> Matrix | None:
    """The matrix, column vector, determinant or system of cases that a text is; None if it is
    none.
    """
    match = _MATRIX.match(text)
    if match is None or "\\begin" in match["body"]:
        return None
    opening = match["opening"] or ""
    closing = match["closing"] or ""
    name = match["name"]
    rows = [
        [entry.strip() for entry in row.split("&")]
        for row in _ROW_END.split(match["body"])
        if row.strip()
    ]
    if len(rows) > MAX_PARTS or bool(closing) > bool(opening):
        return None
    if name == "cases" or (opening == "\\{" and not closing):
        return Matrix(match["factor"].strip(), rows, "cases")
    if bool(opening) != bool(closing):
        return None
    if match["transposed"] and len({len(row) for row in rows}) == 1:
        rows = [list(column) for column in zip(*rows, strict=True)]
    return Matrix(match["factor"].strip(), rows, _KINDS.get(opening or name[0], "matrix"))
