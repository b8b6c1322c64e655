r"""Whether an answer says the same as the gold: the grading policy, one clause a function.

Decided here, exactly and in bounded time: spellings, numbers of any length, values in closed form, units, times, number bases, lists, sets,
tuples, intervals and inequalities, equations, matrices, words, multiple choice. What is left is asked of `symbolic`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from shared.grading import algebra, choices, quantities, regions
from shared.grading.expressions import Unreadable, parse
from shared.grading.normalise import clean, squash, words
from shared.grading.splitting import bracketed, read_matrix, split_outside
from shared.records import CheckedBy

MAX_IN_PROCESS = 400  # characters of gold and answer together that are compared outside a worker process
MAX_COMPARED = 10_000
MAX_ITEMS = 100
MAX_DEPTH = 6

# (gold, answer), both cleaned -> equal or not. Raises `Undecidable` where it cannot tell.
Symbolic = Callable[[str, str], bool]


class NeedsWorker(Exception):
    """Not decided by the fast path: a worker process has to go on."""


class Undecidable(Exception):
    """Nothing here can tell whether the two are equal. The message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`how` says why, in one line."""

    equal: bool
    how: str
    checked_by: CheckedBy


def compare(gold: str, items: tuple[str, ...], problem: str | None, symbolic: Symbolic | None) -> Finding:
    """Whether the boxes `items` (one answer, or a list in order) say what `gold` says.

    Without `symbolic` raises `NeedsWorker` where the fast path does not decide; with it may raise `Undecidable`.
    """
    length = len(gold) + sum(map(len, items))
    if length > MAX_COMPARED:
        if len(items) == 1 and gold.strip() == items[0].strip():
            return Finding(True, "the same text", "exact")
        raise Undecidable(f"the answer is too long to compare ({length} characters)")
    if symbolic is None and length > MAX_IN_PROCESS:
        raise NeedsWorker
    cleaned = clean(gold)
    answers = tuple(clean(item) for item in items)
    return _Comparison(problem or "", symbolic).finding(cleaned, answers)


_PLAIN_NUMBER = re.compile(r"^([+-]?)\s*(\d*)(?:\.(\d*))?$")
_BARE_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d ])")
_TIME = re.compile(
    r"^(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:\\text\{)?\s*([ap])?\.?\s*(?:m\.?)?\s*\}?$", re.IGNORECASE
)
_RATIO = re.compile(r"^(.+?)\s*(?::|\\text\{\s*to\s*\}|\bto\b)\s*(.+)$")
_BASE = re.compile(
    r"^\(?(\d[\dA-Za-z]*)\)?\s*(?:_\s*\{?\s*(?:\\text\{)?\s*(?:base\s*)?(\w+)\s*\}?\s*\}?|(?:\\text\{)?\s*\(?\s*\bbase\s+(\w+)\s*\)?\s*\}?)$"
)
_TEXT = re.compile(r"^(?:\\text\{[^{}]*\}|[A-Za-z]{2,}|[\s,.'\"?-])+$")
_LABEL = re.compile(
    r"^(?:\\?[A-Za-z]+'*(?:\s*_\s*(?:\{[^{}]{1,20}\}|\w))?(?:\s*\([^()=]{1,30}\))?|[A-Z]{2,5}|\|[A-Z]{2}\||m?\s*\\angle\s*[A-Z]{1,3}|\[[A-Z]{3,6}\]"
    r"|(?:\\text\{[^{}]*\}\s*)+(?:_\{?\w+\}?)?|\([a-z\\, ]{1,40}\)|[A-Za-z ]{3,40}|\\triangle\s*[A-Z]{3}|P\s*\([^()=]{1,40}\))$"
)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_NUMBER_WORDS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
        "nineteen twenty".split(),
        map(str, range(21)),
        strict=True,
    )
)
_NOTHING = {
    ("no", "solution"),
    ("no", "solutions"),
    ("none",),
    ("no", "real", "solution"),
    ("no", "real", "solutions"),
    ("emptyset",),
}


class _Comparison:
    """One comparison: the problem it belongs to, whom to ask, and whether that one was asked."""

    def __init__(self, problem: str, symbolic: Symbolic | None) -> None:
        self.problem = problem
        self.symbolic = symbolic
        self.asked = False

    def finding(self, gold: str, answers: tuple[str, ...]) -> Finding:
        if len(answers) == 1 and (choice := self.by_choice(gold, answers[0])) is not None:
            return choice
        if len(answers) > 1:
            equal, how = self.lists_equal(_items(gold), _List("boxes", answers), 0), "as lists"
        else:
            equal, how = self.equal(gold, answers[0], 0), "by value"
            if squash(gold) == squash(answers[0]):
                how = "in the same form"
        by: CheckedBy = "math_verify" if self.asked else "exact"
        return Finding(equal, f"{'equal' if equal else 'not equal'} {how}", by)

    # Multiple choice

    def by_choice(self, gold: str, answer: str) -> Finding | None:
        right, named = choices.named_choice(gold), choices.named_choice(answer)
        listed = choices.options(self.problem) if right or named else {}
        if right is not None and (not right.rest or "(" in gold[:12]):
            return self._against_letter(right, named, answer, listed)
        if named is not None and not self.symbolic_free_equal(gold, answer):
            value = named.rest or listed.get(named.letter, "")
            if value:
                equal = self.equal(gold, value, 1)
                return Finding(
                    equal, f"the value of option {named.letter} is {'' if equal else 'not '}the gold", "choice"
                )
        return None

    def _against_letter(
        self, right: choices.Choice, named: choices.Choice | None, answer: str, listed: dict[str, str]
    ) -> Finding | None:
        letter = right.letter
        value = listed.get(letter, "") or right.rest
        if named is None and listed and re.fullmatch(r"[a-j]", answer):
            named = choices.Choice(answer.upper(), "")
        if named is not None:
            if named.letter != letter:
                return Finding(False, f"the gold is option {letter}, the answer names {named.letter}", "choice")
            if named.rest and value and listed and self._names_another(named, listed):
                return Finding(False, f"names option {letter} with the value of another", "choice")
            return Finding(True, f"names option {letter}", "choice")
        if value:
            equal = self.equal(value, answer, 1)
            return Finding(equal, f"{'' if equal else 'not '}the value of option {letter}", "choice")
        if squash(answer) == letter:
            return Finding(True, f"names option {letter}", "choice")
        return Finding(
            False, f"the gold is option {letter}; the answer names none and the problem lists no options", "choice"
        )

    def _names_another(self, named: choices.Choice, listed: dict[str, str]) -> bool:
        own = listed.get(named.letter, "")
        others = [text for letter, text in listed.items() if letter != named.letter]
        return not self.symbolic_free_equal(own, named.rest) and any(
            self.symbolic_free_equal(other, named.rest) for other in others
        )

    def symbolic_free_equal(self, gold: str, answer: str) -> bool:
        """Equal by the fast path alone; an open question counts as no."""
        try:
            return _Comparison("", None).equal(gold, answer, 1)
        except (NeedsWorker, Undecidable):
            return False

    # One answer against one gold

    def equal(self, gold: str, answer: str, depth: int) -> bool:
        if squash(gold) == squash(answer):
            return True
        if depth > MAX_DEPTH:
            raise Undecidable("nested too deep to compare")
        for read in (
            self._as_plain_numbers, self._as_times, self._as_approximation, self._as_matrices, self._as_bases,
            self._as_words, self._as_regions, self._as_lists, self._as_equations, self._as_ratios,
        ):  # fmt: skip
            decided = read(gold, answer, depth)
            if decided is not None:
                return decided
        return self._as_quantities(gold, answer)

    def _as_plain_numbers(self, gold: str, answer: str, depth: int) -> bool | None:
        """Digits of any length, exactly; also behind thousands separators."""
        left, right = _digits(gold), _digits(answer)
        if left is not None and right is not None:
            return left == right
        for first, second in ((gold, answer), (answer, gold)):
            without = _without_thousands(first)
            if without is not None and bracketed(first) is None:
                pair = (without, second) if first is gold else (second, without)
                if self.equal(*pair, depth + 1):
                    return True
                if _items(second) is None:
                    return False
                # "100,200,300" may also be a list, but then in the same order
                return self.lists_equal(*(_as_tuple(_items(text)) for text in (gold, answer)), depth + 1)
        return None

    def _as_times(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = _TIME.match(gold), _TIME.match(answer)
        if left is None or right is None:
            return None
        halves = {match[4].lower() for match in (left, right) if match[4]}
        clock = [(int(match[1]), int(match[2]), int(match[3] or 0)) for match in (left, right)]
        return clock[0] == clock[1] and len(halves) < 2

    def _as_approximation(self, gold: str, answer: str, depth: int) -> bool | None:
        """ "exact ≈ rounded" is either of them; a gold of that kind is its exact part."""
        golds, answers = (split_outside(text, r"\\approx(?![A-Za-z])") for text in (gold, answer))
        if len(golds) == len(answers) == 1 or len(golds) > 3 or len(answers) > 3:
            return None
        return any(
            self.equal(left.strip(), right.strip(), depth + 1) for left in golds for right in answers if left and right
        )

    def _as_matrices(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = read_matrix(gold), read_matrix(answer)
        if left is None and right is None:
            return None
        rows = [_rows(text, matrix) for text, matrix in ((gold, left), (answer, right))]
        if rows[0] is None or rows[1] is None:
            return None if "=" in gold or "=" in answer else False
        if [len(row) for row in rows[0]] != [len(row) for row in rows[1]]:
            return False
        return all(
            self.equal(a, b, depth + 1)
            for row_a, row_b in zip(rows[0], rows[1], strict=True)
            for a, b in zip(row_a, row_b, strict=True)
        )

    def _as_bases(self, gold: str, answer: str, depth: int) -> bool | None:
        """`52_8` is the digits 52 in base 8: not 42, not 52_9; without its base only if the problem names it."""
        left, right = _based(gold), _based(answer)
        if left is None and right is None:
            return None
        if left is not None and right is not None:
            return left == right
        digits, base = left or right or ("", "")
        plain = squash(answer if left else gold)
        return plain.upper() == digits and self._problem_names_base(base)

    def _problem_names_base(self, base: str) -> bool:
        words_for = {"2": "binary", "8": "octal", "16": "hexadecimal"}
        said = self.problem[-20_000:].casefold()
        names = [base, *(word for word, digits in _NUMBER_WORDS.items() if digits == base)]
        return any(re.search(rf"\bbase[\s\-$]*{name}\b", said) for name in names) or words_for.get(base, "\0") in said

    def _as_words(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = _text_words(gold), _text_words(answer)
        nothing = [words(text) in _NOTHING or text in ("\\emptyset", "\\{\\}") for text in (gold, answer)]
        if all(nothing):
            return True
        numbers = [_NUMBER_WORDS.get(" ".join(said)) if said else None for said in (left, right)]
        if any(numbers):
            return self.equal(numbers[0] or gold, numbers[1] or answer, depth + 1)
        if left is None and right is None:
            return None
        if left is not None and right is not None:
            return left == right or "".join(left) == "".join(right)
        if right is None and "\\text{" in answer:  # "\text{even}, since ..." is not looked into
            bare = re.sub(r"^(?:\\text\{[^{}]*\}\s*)+(?=\S)", "", answer)
            if bare != answer:
                return self.equal(gold, bare, depth + 1)
        plain = answer if left is not None else gold
        return False if not re.search(r"[<>=]|\\(?:le|ge|in|cup|mathbb)", plain) else None

    def _as_regions(self, gold: str, answer: str, depth: int) -> bool | None:
        if not (regions.hints_at_region(gold) or regions.hints_at_region(answer)):
            return None
        left, right = regions.read_region(gold), regions.read_region(answer)
        if left is None or right is None:
            return self._as_relations(gold, answer, depth) if left is None and right is None else None
        if left.variable and right.variable and left.variable != right.variable:
            return False
        return regions.same_region(left.region, right.region)

    def _as_relations(self, gold: str, answer: str, depth: int) -> bool | None:
        """Inequalities in several variables: the same relation between equal sides, also read from the right."""
        both = [_relation(text) for text in (gold, answer)]
        if both[0] is None or both[1] is None:
            return None
        (left_a, sign_a, right_a), (left_b, sign_b, right_b) = both
        if sign_a != sign_b:
            left_b, sign_b, right_b = right_b, _FLIPPED[sign_b], left_b
        if sign_a != sign_b:
            return False
        return self.equal(left_a, left_b, depth + 1) and self.equal(right_a, right_b, depth + 1)

    def _as_lists(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = _items(gold), _items(answer)
        if left is None and right is None:
            return None
        return self.lists_equal(left or _List("single", (gold,)), right or _List("single", (answer,)), depth)

    def lists_equal(self, gold: "_List | None", answer: "_List | None", depth: int) -> bool:
        if gold is None or answer is None:
            return False
        if len(gold.items) != len(answer.items):
            return False
        if len(gold.items) > MAX_ITEMS:
            raise Undecidable(f"a list of {len(gold.items)} items")
        kinds = {gold.kind, answer.kind}
        if "set" in kinds and "tuple" in kinds:
            return False
        if len(gold.items) == 2 and gold.kind == answer.kind == "tuple" and gold.brackets != answer.brackets:
            return False  # (1,2), [1,2] and (1,2] are different intervals
        labels = [[_split_label(item) for item in side.items] for side in (gold, answer)]
        names = [[name for name, _ in side] for side in labels]
        distinct = [all(side) and len(set(side)) == len(side) > 1 for side in names]
        if all(distinct):
            named = dict(labels[1])
            return set(names[0]) == set(names[1]) and all(
                self.equal(value, named[name], depth + 1) for name, value in labels[0]
            )
        values = [
            [value for _, value in side] if "single" not in kinds else list(items.items)
            for side, items in zip(labels, (gold, answer), strict=True)
        ]
        if any(distinct) or "tuple" in kinds:
            return all(self.equal(a, b, depth + 1) for a, b in zip(values[0], values[1], strict=True))
        return self._same_multiset(values[0], values[1], depth)

    def _same_multiset(self, gold: list[str], answer: list[str], depth: int) -> bool:
        left = list(answer)
        for wanted in gold:
            spelled = squash(wanted)
            found = next((index for index, item in enumerate(left) if squash(item) == spelled), None)
            if found is None:
                found = next((index for index, item in enumerate(left) if self.equal(wanted, item, depth + 1)), None)
            if found is None:
                return False
            del left[found]
        return not left

    def _as_equations(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = ([side.strip() for side in split_outside(text, "=")] for text in (gold, answer))
        if len(left) == len(right) == 1:
            return None
        if len(left) == 1 or len(right) == 1:
            return self._without_label(left, right, depth)
        if len(left) == len(right) == 2:
            if squash(left[0]) == squash(right[0]) and _LABEL.match(left[0]):
                return self.equal(left[1], right[1], depth + 1)
            forms = [_form_of_equation(side) for side in (left, right)]
            if forms[0] is not None and forms[1] is not None:
                same = algebra.proportional(forms[0], forms[1])
                if same is not None:
                    return same or self._labels_alike(left, right, depth)
            return self._labels_alike(left, right, depth) or self._ask(gold, answer)
        if _LABEL.match(left[0]) and _LABEL.match(right[0]):
            return squash(left[0]) == squash(right[0]) and self.equal(left[-1], right[-1], depth + 1)
        return self.equal(left[-1], right[-1], depth + 1)

    def _labels_alike(self, left: list[str], right: list[str], depth: int) -> bool:
        """ "AB = 9" and "|AB| = 9", "P(x) = 2x" and "p(x) = 2x": labels of one thing, spelled differently."""
        names = [re.sub(r"\\[a-z]+|[^a-z]", "", side[0].casefold()) for side in (left, right)]
        both = all(_LABEL.match(side[0]) and len(squash(side[0])) > 1 for side in (left, right))
        return both and names[0] == names[1] and self.equal(left[1], right[1], depth + 1)

    def _without_label(self, left: list[str], right: list[str], depth: int) -> bool | None:
        """`x = 5` against `5`: only the name of what was asked may be left out; of a calculation the result counts."""
        chain, other = (left, right[0]) if len(right) == 1 else (right, left[0])
        if len(chain) > 12:
            return False
        result = chain[-1]
        if len(chain) == 2 and _LABEL.match(chain[1]) and not _LABEL.match(chain[0]):
            result = chain[0]  # "5 = x"
        elif not (
            _LABEL.match(chain[0]) or all(_is_constant(side) for side in chain[:-1]) or re.search(r"[(\\|]", chain[0])
        ):
            return False
        pair = (result, other) if chain is left else (other, result)
        return self.equal(*pair, depth + 1)

    def _as_ratios(self, gold: str, answer: str, depth: int) -> bool | None:
        """`2:3`, `2 \\text{ to } 3`, `2/3`; of two that look like times of day nothing is cancelled."""
        left, right = _RATIO.match(gold), _RATIO.match(answer)
        if left is None and right is None:
            return None
        pairs = [f"({match[1]})/({match[2]})" if match else text for match, text in ((left, gold), (right, answer))]
        if any(":" in text for text in pairs):
            parts = [tuple(part.strip() for part in text.split(":")) for text in (gold, answer)]
            return len(parts[0]) == len(parts[1]) and all(
                self.equal(a, b, depth + 1) for a, b in zip(*parts, strict=True)
            )
        return self.equal(pairs[0], pairs[1], depth + 1)

    def _as_quantities(self, gold: str, answer: str) -> bool:
        left, right = quantities.read_quantity(gold), quantities.read_quantity(answer)
        if not quantities.compatible(left, right):
            return False
        if left.percent and right.unit or right.percent and left.unit:
            return False
        forms = (_form(left.value), _form(right.value))
        if isinstance(forms[0], algebra.Form) and isinstance(forms[1], algebra.Form):
            converts = bool(left.unit) and left.unit == right.unit
            same = self._values_equal(
                _scaled(forms[0], left.factor if converts else 1), _scaled(forms[1], right.factor if converts else 1)
            )
            if same is False and left.percent and not right.percent and not right.unit:
                # A gold in percent names its value: 50% is 50, and also 1/2. The other way round 50% is 50 only.
                same = self._values_equal(_scaled(forms[0], Fraction(1, 100)), forms[1])
            if same is not None:
                return same
        if left.unit and right.unit and left.factor != right.factor:
            raise Undecidable("a conversion of units between values that are not in closed form")
        return self._ask(left.value, right.value)

    def _values_equal(self, a: algebra.Form, b: algebra.Form) -> bool | None:
        try:
            return algebra.equal(a, b)
        except algebra.TooHard:
            return None

    def _ask(self, gold: str, answer: str) -> bool:
        if self.symbolic is None:
            raise NeedsWorker
        self.asked = True
        return self.symbolic(gold, answer)


@dataclass(frozen=True, slots=True)
class _List:
    """`kind`: tuple (brackets, in order), set (braces), list (bare), boxes (bare, from several boxes), single."""

    kind: str
    items: tuple[str, ...]
    brackets: str = ""


_SEPARATORS = r",|;|\\text\{[\s,]*(?:and|or)\s*\}|\b(?:and|or)\b"
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne", "=": "="}


def _items(text: str) -> _List | None:
    """The list that a cleaned answer is, or None if it is one thing."""
    if _PLUS_MINUS.search(text) and bracketed(text) is None and len(split_outside(text, _SEPARATORS)) == 1:
        return _List("list", _both_signs(text))
    group = bracketed(text)
    if group is not None and group[0] != "{":
        opening, body, closing = group
        parts = _parts(body)
        if opening == "\\{" and closing == "\\}":
            return _List("set", parts)
        if len(parts) > 1 and opening in "([" and closing in ")]":
            return _List("tuple", parts, opening + closing)
        return None
    label, value = _split_label(text)
    if label and bracketed(value) is not None:
        return _items(value)
    parts = _parts(text)
    return _List("list", parts) if len(parts) > 1 else None


def _parts(body: str) -> tuple[str, ...]:
    parts: list[str] = []
    for part in split_outside(body, _SEPARATORS):
        if part.strip(" \\"):
            parts += _both_signs(part.strip())
    return tuple(parts)


def _both_signs(text: str) -> tuple[str, ...]:
    if not _PLUS_MINUS.search(text):
        return (text,)
    return tuple(
        re.sub(r"^\s*\+|(?<==)\s*\+", "", _PLUS_MINUS.sub(lambda match: signs[match[1] == "mp"], text))
        for signs in ("+-", "-+")
    )


def _as_tuple(listed: _List | None) -> _List | None:
    return None if listed is None else _List("tuple", listed.items)


def _split_label(item: str) -> tuple[str, str]:
    """("x", "5") of "x = 5"; ("", item) without a label."""
    name, equals, value = item.partition("=")
    if equals and "=" not in value and _LABEL.match(name.strip()):
        return squash(name.strip()), value.strip()
    return "", item


def _digits(text: str) -> tuple[bool, str, str] | None:
    """(negative, digits before the point, digits behind it) of a plain number, without zeros that say nothing."""
    match = _PLAIN_NUMBER.match(text)
    if match is None or not (match[2] or match[3]):
        return None
    whole, part = match[2].lstrip("0"), (match[3] or "").rstrip("0")
    return (match[1] == "-" and bool(whole or part), whole, part)


def _without_thousands(text: str) -> str | None:
    """The text with bare thousands separators taken out ("58,500"), or None where there are none."""
    if not _BARE_THOUSANDS.search(text):
        return None
    return _BARE_THOUSANDS.sub(lambda match: re.sub("[, ]", "", match[0]), text)


def _based(text: str) -> tuple[str, str] | None:
    match = _BASE.match(text)
    if match is None:
        return None
    base = (match[2] or match[3]).casefold()
    base = _NUMBER_WORDS.get(base, base)
    return (match[1].upper(), base) if base.isdigit() and 2 <= int(base[:4]) <= 36 else None


def _text_words(text: str) -> tuple[str, ...] | None:
    """The words of an answer that is text and nothing else; letters that may be a product are no text."""
    if not _TEXT.match(text):
        return None
    said = words(text)
    if "\\text{" in text or any(len(word) >= 4 for word in said) or {"yes", "no", "odd", "red"} & set(said):
        return said if said else None
    return None


def _rows(text: str, matrix: tuple[str, list[list[str]]] | None) -> list[list[str]] | None:
    """The entries of a matrix with the factor in front multiplied in; a tuple stands for a column."""
    if matrix is None:
        listed = _items(text)
        return [[item] for item in listed.items] if listed is not None and listed.kind == "tuple" else None
    factor, rows = matrix
    name, equals, behind = factor.rpartition("=")
    factor = behind.strip() if equals and _LABEL.match(name.strip()) else factor
    return rows if not factor else [[f"({factor})({entry})" for entry in row] for row in rows]


def _relation(text: str) -> tuple[str, str, str] | None:
    pieces = [piece.strip() for piece in re.split(r"(\\le|\\ge|\\ne)(?![A-Za-z])|([<>])", text) if piece is not None]
    return (pieces[0], pieces[1], pieces[2]) if len(pieces) == 3 and all(pieces) else None


def _form_of_equation(sides: list[str]) -> algebra.Form | None:
    left, right = _form(sides[0]), _form(sides[1])
    if isinstance(left, str) or isinstance(right, str):
        return None
    try:
        difference = algebra.difference(left, right)
    except algebra.TooHard:
        return None
    return algebra.Form(difference.above, {algebra.ONE: Fraction(1)}, difference.opaque)


def _is_constant(text: str) -> bool:
    form = _form(text)
    return isinstance(form, algebra.Form) and not any(letters for _, _, letters in form.above)


def _scaled(form: algebra.Form, factor: Fraction | int) -> algebra.Form:
    return (
        form
        if factor == 1
        else algebra.Form({key: value * factor for key, value in form.above.items()}, form.below, form.opaque)
    )


@lru_cache(maxsize=256)
def _form(text: str) -> algebra.Form | str:
    """The exact form of a cleaned expression, or why there is none."""
    try:
        return algebra.exact(parse(text))
    except (Unreadable, algebra.TooHard) as error:
        return str(error)
