"""Rows of local data files, and what stands in a row of whatever shape: a problem, a gold answer.

gsm8k       {"question": "Janet’s ducks lay 16 eggs…", "answer": "Janet sells 16 - 3 - 4 = … #### 18"}
math_500    {"problem": "Convert the point $(0,3)$…", "answer": "\\\\left( 3, \\\\frac{\\\\pi}{2}…", "level": 2}
aime24      {"problem": "Every morning Aya goes…", "answer": 204}
olympiad…   {"question": "Determine…", "final_answer": ["$2$", "$5$"], "is_multiple_answer": true}     two parts
own file    {"problem": "Factor x² − 1.", "answer": ["(x-1)(x+1)", "x^2-1"]}     either is right
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from shared.errors import InputError
from shared.row_files import PARQUET, open_lines

Row = Mapping[str, Any]
PlacedRow = tuple[str, Row]  # where it stands, for messages: "file:line"

PROBLEM_FIELDS = ("problem", "question", "prompt", "input")
GOLD_FIELDS = ("gold", "answer", "final_answer", "expected_answer", "target", "golds", "answers")
# Rows that have it hold, in a list, the parts of one answer.
_PARTS_FIELD = "is_multiple_answer"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


def read_file(path: Path) -> Iterator[PlacedRow]:
    """The rows of a file in any format of `shared.row_files`, in order.

    Errors: `InputError` naming file and line.
    """
    if path.suffix == PARQUET:
        return _read_parquet(path)
    return _read_lines(path)


def parse_row(line: bytes, place: str) -> Row:
    """One line of JSON as an object. Errors: `InputError` that begins with `place`."""
    try:
        row = orjson.loads(line.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error}): correct or remove the line") from None
    return checked_row(row, place)


def checked_row(row: Any, place: str) -> Row:
    """`row`, if it is an object. Errors: `InputError` that begins with `place`."""
    if not isinstance(row, Mapping):
        raise InputError(f"{place}: a JSON {type(row).__name__} where an object belongs")
    return row


def problem_of(row: Row, place: str) -> str:
    """The problem's text, whichever of the usual names its field has. Errors: `InputError`."""
    for name in PROBLEM_FIELDS:
        text = row.get(name)
        if isinstance(text, str) and text.strip():
            return text
    raise InputError(
        f"{place}: no problem: one of the fields {', '.join(PROBLEM_FIELDS)} must hold its text"
    )


def golds_of(
    row: Row,
    place: str,
    *,
    lists_are_parts: bool = False,
) -> tuple[str, ...]:
    """The gold answers, each as one line, whichever of the usual names their field has: a list
    holds several, any of which is right.

    `lists_are_parts`: a list holds the parts of one answer (OlympiadBench's), all of which are
    asked for. Errors: `InputError` where there is no answer, or something else than a text, a
    number or a list of those.
    """
    gold = next((row[name] for name in GOLD_FIELDS if row.get(name) not in (None, "", [])), None)
    if gold is None:
        raise InputError(
            f"{place}: no gold answer: one of the fields {', '.join(GOLD_FIELDS)} must hold it"
        )
    golds = gold if isinstance(gold, list) else [gold]
    for each in golds:
        if not isinstance(each, str | int | float) or each == "":
            raise InputError(
                f"{place}: a gold answer is a {type(each).__name__}: give one text or number, or a"
                " list of those that are right"
            )
    if lists_are_parts or _PARTS_FIELD in row:
        whole_gold = golds[0] if len(golds) == 1 else ", ".join(map(str, golds))
        return (final_answer(whole_gold),)
    return tuple(dict.fromkeys(map(final_answer, golds)))


def final_answer(gold: Any) -> str:
    """A gold answer as one line: after GSM8K's `####` with its thousands separators gone,
    numbers as text.
    """
    text = str(int(gold)) if isinstance(gold, float) and gold.is_integer() else str(gold)
    _, mark, answer = text.rpartition("####")
    if mark:
        return _THOUSANDS.sub("", answer.strip())
    return text.strip()


def _read_lines(path: Path) -> Iterator[PlacedRow]:
    if not path.is_file():
        why = "Is a directory" if path.is_dir() else "No such file or directory"
        raise _unreadable(path, why, "JSON lines")
    with open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, parse_row(line, place)


def _read_parquet(path: Path) -> Iterator[PlacedRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, " ".join(str(error).split())[:160], "Parquet") from None
    for number, row in enumerate(rows, 1):
        yield f"{path}:{number}", row


def _unreadable(path: Path, why: str, kind: str) -> InputError:
    return InputError(f"{path}: cannot be read ({why}): give a {kind} file with problem and answer")
