"""The gold answer in what a data set's columns hold, or the reason why there is none. Pure
functions of values.

    "42", 42, ["42"], "['42']", "6 x 7 = 42\\n#### 42\\nThe answer is: 42", "so \\boxed{42}."      42
    "proof", "notfound" (NuminaMath-1.5), NaN, "", ["1", "2"], "6 times 7 makes 42 pens."       none

A call for a problem whose gold is no answer buys nothing: the sample could only be unverifiable.
"""

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

from shared.grading.extract import last_box

MAX_ANSWER_CHARACTERS = 200  # a longer `answer` is a solution, not an answer
LAST_CHARACTERS = 400  # of a solution, where its closing sentence is looked for

MISSING = "no gold answer"
NO_ANSWER = "gold is no answer"
SEVERAL = "gold is several answers"
SENTENCE = "gold is a sentence, not an answer"

_NO_ANSWER = re.compile(
    r"(?:proof|proved|proven|q\.?e\.?d|not\s?found|not"
    r" (?:given|provided|available)|n/?a|nan|null|unknown|tbd|todo"
    r"|see (?:the )?(?:solution|above|proof)|-+|\?+|\.+)\.?",
    re.I,
)
_QUOTED_LIST = re.compile(r"\[\s*(?:'.*'|\".*\")\s*\]", re.S)
_CLOSING = re.compile(
    r"(?:^|[\s.,])the (?:final |correct )?answer is:\s*(\S.{0,100}?)\s*[.。]?\s*$", re.I
)
_FORMULA = re.compile(r"\$[^$]*\$|\\[a-zA-Z]+(?:\{[^{}]*\})?")
_WORD = re.compile(r"[^\W\d_]{2,}")
# What answers are made of besides formulas: "all real numbers except 0", "x = 2 for every odd n".
_MATHEMATICAL = re.compile(
    "all|and|any|arbitrary|are|at|both|but|by|constant|divisible|each|either|even|every|except|for|function|if|iff|in"
    "|infinitely|integers?|is|least|many|most|multiples?|natural|negative|no|non|nonnegative|not|numbers?|odd|of|only|or"
    "|pairs?|positive|primes?|rational|real|set|solutions?|such|than|that|the|to|triples?|values?|where|which|with|without",
    re.I,
)
MOST_WORDS = 5  # that are not mathematical, in an answer
MOST_WORDS_IN_A_SENTENCE = 3  # where it also has a full stop at its end
MOST_WORDS_BESIDE_A_SUM = 2  # where it also has an equals sign


@dataclass(frozen=True, slots=True)
class NoGold:
    """Why a row has no gold answer."""

    reason: str


def gold_of_column(value: Any) -> str | NoGold:
    """The answer in an answer column, which may hold a whole solution."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NoGold(MISSING)
    if isinstance(value, list | tuple):
        if len(value) == 1:
            return gold_of_column(value[0])
        return NoGold(SEVERAL if value else MISSING)
    if isinstance(value, dict):
        return NoGold(NO_ANSWER)
    text = str(value).strip()
    if _QUOTED_LIST.fullmatch(text):
        return _gold_of_list(text)
    if is_solution(text):
        gold = gold_of_solution(text)
        return _checked(gold) if gold is not None else NoGold(SENTENCE)
    return _checked(text)


def gold_of_solution(solution: str) -> str | None:
    """The last `\\boxed{…}` of a worked solution, else the line after its last `####`, else
    MetaMath's last sentence.

    That is "The answer is: 42". None without any.
    """
    box_content = last_box(solution)
    if box_content is not None:
        return box_content.strip() or None
    _, mark, after = solution.rpartition("####")
    if mark:
        lines = after.strip().splitlines()
        return lines[0].strip() if lines else None
    closing = _CLOSING.search(solution[-LAST_CHARACTERS:].rstrip().rpartition("\n")[2])
    return closing[1] if closing and not is_sentence(closing[1]) else None


def checked_solution(solution: Any) -> str | NoGold:
    """The answer in a solution column."""
    gold = gold_of_solution(solution) if isinstance(solution, str) else None
    return NoGold(MISSING) if gold is None else _checked(gold)


def is_solution(text: str) -> bool:
    """Whether a text is more than an answer: the answer is in it, if anywhere."""
    return (
        len(text) > MAX_ANSWER_CHARACTERS
        or "####" in text
        or "\\boxed" in text
        or is_sentence(text)
    )


def is_sentence(text: str) -> bool:
    """Whether a text says things rather than giving a value ("6 times 7 = 42, so she has 42
    pens.").
    """
    prose = _FORMULA.sub(" ", text[:LAST_CHARACTERS])
    words = [word for word in _WORD.findall(prose) if not _MATHEMATICAL.fullmatch(word)]
    allowed_words = MOST_WORDS
    if prose.rstrip().endswith((".", "。", "!")):
        allowed_words = MOST_WORDS_IN_A_SENTENCE
    if "=" in prose:
        allowed_words = MOST_WORDS_BESIDE_A_SUM
    return len(words) > allowed_words


def _checked(text: str) -> str | NoGold:
    if not text:
        return NoGold(MISSING)
    return NoGold(NO_ANSWER) if text == "None" or _NO_ANSWER.fullmatch(text) else text


def _gold_of_list(text: str) -> str | NoGold:
    try:
        return gold_of_column(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _checked(text)
