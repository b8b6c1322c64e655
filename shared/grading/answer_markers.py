r"""Answers without a box: what stands behind `####`, "Answer:" and their like, or in bold at the
end.

A number counts only where the text says that it is the answer: not in a heading ("**Step 3**"), not
as a bound ("at most 12"), not before a closing sentence with other numbers.
"""

import re

_MARKER = re.compile(
    r"(?:\b(?:answer|ans)\b[ \t]{0,4}\*{0,2}[ \t]{0,4}(?:[:：=]|\bis\b|\bare\b)"
    r"|答案[ \t]{0,4}\*{0,2}(?:[:：=]|应?[是为]))"
    r"[ \t]{0,4}(?::[ \t]{0,4})?(?:\*\*(?=\s))?",
    re.I,
)
_HEADING = re.compile(
    r"^[ \t]{0,8}(?:#{1,6}[ \t]{0,4})?\*{0,2}(?:final[ \t]{1,4})?answer\*{0,2}[ \t]{0,4}:?\*{0,2}["
    r" \t]{0,8}$",
    re.I | re.M,
)
_NO_ANSWER = re.compile(
    r"\b(?:incorrect|wrong|each|every|another|per|any|no|(?:if|whether|that|once)\s(?:the|my|our|an|your))"
    r"\s(?:(?:final|correct)\s)?$",
    re.I,
)
_CLOSING = re.compile(
    r"(?:^|\n)[ \t]{0,4}(?:thus|therefore|hence|so|finally|in total|in conclusion)\b[^\n]*$", re.I
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*(?!\*)")
_NUMBER = re.compile(
    r"[-−]?[ ]?(?:\\?\$|€|£)?[ ]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s?/\s?\d+)?(?:\s?\\?%)?"
)
_AFTER_IS = re.compile(r"(?:=|\bis\b|\bare\b|\bequals\b)[\s*]{0,8}$", re.I)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_FORMULA = re.compile(r"\\\((.{1,300}?)\\\)|(?<!\\)\$([^$]{1,300}?)(?<!\\)\$(?!\d)")
# "Step 3", "Figure 2", "2. Halve": a number that names a place in the text. "Total 12" is an
# answer.
_NUMBERED = re.compile(r"^\W*(?:\d{1,2}[.)]\s|[A-Za-z]+\.?\s?#?\d{1,3}(?:[.:)]|\s|$))")
_SAYS_A_VALUE = re.compile(
    r"^\W*(?:total|sum|answer|result|only|exactly|is|are|equals|about|approximately)\b|=", re.I
)
_BOUND_BEFORE = re.compile(
    r"(?:\b(?:more|less|fewer|greater|larger|smaller|higher|lower|longer|shorter|bigger|older|younger|other)\sthan"
    r"|\bat\s(?:the\s)?(?:most|least)|\bup\sto|\b(?:over|under|above|below|exceed|exceeds|exceeding|between|not|never"
    r"|within|beyond)|n't(?:\sbe)?|不是|至少|至多|最多|最少|超过|不足|大于|小于|>|<|\\[lg]eq?|[≤≥])"
    r"(?:\s(?:about|exactly|equal\sto))?[\s*$\\(]{0,6}$",
    re.I,
)
_BOUND_BEHIND = re.compile(
    r"^[\s*$)\\]{0,6}(?:[a-z]+\s){0,2}(?:or\s(?:more|less|fewer|greater|larger|above|below|over|under|higher|lower|so|[\d$*])"
    r"|at\s(?:most|least)|and\s(?:above|over|up|below)|以上|以下)",
    re.I,
)
NEAR = 60  # characters beside a number that say what it is


def is_bound(text: str, start: int, end: int) -> bool:
    """Whether what stands at `start` to `end` is a bound or one of several: "more than 12", "12
    or more".
    """
    before = text[max(0, start - NEAR) : start]
    behind = text[end : end + NEAR]
    if _BOUND_BEFORE.search(before):
        return True
    return _BOUND_BEHIND.search(behind) is not None


def marked_answer(tail: str) -> tuple[str | None, str]:
    """(the answer or None, where it was found or why there is none), from the end of the text."""
    last_line = tail.rstrip().rpartition("\n")[2]
    if "####" in last_line:
        return _answer_of(last_line.rpartition("####")[2], "no box; after '####'")
    marker = _last_marker(tail)
    if marker is not None:
        how = f"no box; after {' '.join(marker[0].split())!r}"
        if _closes_otherwise(tail, marker):
            return None, f"{how}: the closing sentence has another number"
        return _answer_of(_first_statement(tail[marker.end() :]), how)
    return _bold_answer(tail)


def _last_marker(tail: str) -> re.Match[str] | None:
    """The last "the answer is" that speaks of the answer: not of "an incorrect answer", not "if
    the answer is".
    """
    markers = [*_MARKER.finditer(tail), *_HEADING.finditer(tail)]
    markers.sort(key=lambda match: match.end())
    for marker in reversed(markers):
        start = marker.start()
        before = tail[max(0, start - 40) : start]
        if not _NO_ANSWER.search(before):
            return marker
    return None


def _closes_otherwise(tail: str, marker: re.Match[str]) -> bool:
    """Whether the text goes on behind a marker inside a sentence, to a "Thus …" with a number."""
    line_before = tail[: marker.start()].rpartition("\n")[2]
    if not line_before.strip(" \t*#>-"):
        return False  # a marker on a line of its own is the answer's place, whatever follows
    behind = tail[marker.end() :].rstrip()
    closing = _CLOSING.search(behind[-400:])
    return closing is not None and _NUMBER.search(closing[0]) is not None


def _bold_answer(tail: str) -> tuple[str | None, str]:
    """The last number in bold, if nothing behind it names another."""
    for bold in reversed(list(_BOLD.finditer(tail))):
        numbers = _NUMBER.findall(bold[1])
        word_count = len(_WORD.findall(bold[1]))
        if not numbers or word_count > 6 or _is_heading(tail, bold):
            continue
        own_numbers = {_digits(number) for number in numbers}
        numbers_behind = {_digits(number) for number in _NUMBER.findall(tail[bold.end() :])}
        if numbers_behind - own_numbers:
            return None, "no box and no marked answer: other numbers follow the last one in bold"
        if is_bound(tail, bold.start(), bold.end()):
            return None, "no box; last number in bold: no single answer in the sentence"
        return _answer_of(bold[1], "no box; last number in bold")
    return None, "no box and no marked answer"


def _is_heading(tail: str, bold: re.Match[str]) -> bool:
    """Whether a bold text names a step, a figure or a point of a list, or leads to what follows
    it.
    """
    text = bold[1].strip()
    line = tail[bold.end() : bold.end() + 200].partition("\n")[0]
    colons = (":", "：")
    if text.endswith(colons) or line.lstrip().startswith(colons):
        return True
    if _SAYS_A_VALUE.search(text):
        return False
    start = bold.start()
    before = tail[max(0, start - 200) : start].rpartition("\n")[2]
    begins_a_line = not before.strip(" \t#>-*0123456789.)")
    if _NUMBERED.search(text):
        return begins_a_line or text[0].isalpha()
    return (
        begins_a_line
        and bool(_WORD.search(line))
        and not text[0].isdigit()
        and text[0] not in "$\\€£-−"
    )


def _digits(number: str) -> str:
    return re.sub(r"[^\d./]", "", number).rstrip("./")


def _first_statement(text: str) -> str:
    """The first line with something on it, or the whole displayed formula that begins there."""
    # Stars in front are the end of the marker's own bold type, but two may begin a bold answer.
    is_bold = text.lstrip().startswith("**")
    text = text.lstrip() if is_bold else text.lstrip("\r\n \t*:")
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        if text.startswith(opening):
            end = text.find(closing, 2)
            return text[2 : end if end >= 0 else len(text)]
    line = text.partition("\n")[0]
    # An inline formula may begin on a line of its own.
    mate = {"$": "$", "\\(": "\\)"}.get(line.strip())
    if mate is None:
        return line
    start = len(line)
    end = text.find(mate, start)
    return text[start : max(end, start)]


def _answer_of(statement: str, how: str) -> tuple[str | None, str]:
    """(the answer in a statement or None, where it was found or why there is none)."""
    answer = answer_in(statement)
    if answer is None:
        return None, f"{how}: no single answer in the sentence"
    return answer, how


def answer_in(statement: str) -> str | None:
    """The answer that a short statement gives: the bold part, the formula, the only number, or
    the statement itself.
    """
    statement = statement.strip()
    has_number = _NUMBER.search(statement) is not None
    for bold in reversed(list(_BOLD.finditer(statement))):
        if not bold[1].strip(" :"):
            continue
        if has_number and not _NUMBER.search(bold[1]):
            continue
        if is_bound(statement, bold.start(), bold.end()):
            return None
        statement = bold[1].strip()
        break
    statement = statement.strip("* \t").rstrip(".。 ")
    formulas = list(_FORMULA.finditer(statement))
    spoken = _WORD.findall(re.sub(r"\\[A-Za-z]+\s?\{[^{}]*\}", "", statement))
    words = [word for word in spoken if not word.isupper()]  # AB, ABC: points and segments
    if not statement:
        return None
    if len(formulas) == 1 and words:
        formula = formulas[0]
        if is_bound(statement, formula.start(), formula.end()):
            return None
        return str(formula[1] or formula[2]).strip()
    numbers = list(_NUMBER.finditer(statement))
    begins_with_number = not numbers or numbers[0].start() == 0
    if not words or (len(words) <= 4 and begins_with_number):
        if _NUMBERED.search(statement) and statement[0].isalpha() and words:
            return None
        return statement
    return _number_of_sentence(statement, numbers)


def _text_before(match: re.Match[str]) -> str:
    start = match.start()
    return match.string[max(0, start - NEAR) : start]


def _number_of_sentence(sentence: str, numbers: list[re.Match[str]]) -> str | None:
    """The number that a sentence gives: its only one, its only amount of money, or else the last
    one behind "is" or an equals sign.
    """
    if len(numbers) > 1:
        money = [match for match in numbers if _is_money(match[0])]
        values = [match for match in numbers if _AFTER_IS.search(_text_before(match))]
        numbers = money if len(money) == 1 else values[-1:]
    if not numbers:
        return None
    number = numbers[0]
    if is_bound(sentence, number.start(), number.end()):
        return None
    return number[0].strip()


def _is_money(number: str) -> bool:
    first_sign = number.strip(" -−")[0]
    return first_sign in "\\$€£"
