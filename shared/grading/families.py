r"""Families of numbers with an integer that runs: `\frac{\pi}{2} + k\pi, k \in \mathbb{Z}`, `n
\equiv 2 \pmod{3}`.
"""

import re
from dataclasses import dataclass

from shared.grading import algebra, closed_form
from shared.grading.comparison import Comparison
from shared.grading.expressions import Node, number, parse
from shared.grading.lists import is_label, label_key
from shared.grading.splitting import split_outside
from shared.grading.tokens import Unreadable

_INTEGER_TEXT = r"(?:\\mathbb\{Z\}|Z|\\text\{\s*(?:Z|the integers|integers?)\s*\})"
# "k \in Z" behind an answer, with the words that lead to it.
_RUNS = re.compile(
    rf"[\s,;(]*(?:\\text\{{[^{{}}]*\}})?\s*\b([a-zA-Z])\s*(?:\\in\s*{_INTEGER_TEXT}"
    r"|\\text\{\s*(?:is|are)?\s*(?:an?\s+|any\s+)?integers?\s*\})[\s)]*$"
)
_WORDS_BEFORE = re.compile(
    r"[\s,;(]*\\text\{\s*(?:for|where|with)?\s*(?:all|any|an|every|some)?\s*integers?\s*\}\s*([a-zA-Z])[\s)]*$"
)
_CONGRUENCE = re.compile(r"^([a-zA-Z])\s*\\equiv\s*(-?\d{1,12})\s*\\pmod\{(\d{1,12})\}$")
_BUILDER = re.compile(r"^\\\{\s*([a-zA-Z])\s*(?:\||:)\s*(.*)\\\}$", re.DOTALL)
_RUNNING_LETTERS = frozenset("klmnt")


@dataclass(frozen=True, slots=True)
class Family:
    """`start + k·step` for all integers k; `label` is what the family is of, or ""."""

    label: str
    start: algebra.Form
    step: algebra.Form


def as_families(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Two families are the same where their steps are and their starts differ by a multiple of
    it.
    """
    if not any(sign in gold + answer for sign in ("\\in", "\\equiv", "integer")):
        return None
    families = [_declared(text) for text in (gold, answer)]
    if families[0] is None and families[1] is None:
        return _with_one_letter(comparison, gold, answer)
    gold_family = families[0] or _undeclared(gold)
    answer_family = families[1] or _undeclared(answer)
    if gold_family is None or answer_family is None:
        return _with_one_letter(comparison, gold, answer)
    if gold_family.label and answer_family.label and gold_family.label != answer_family.label:
        return False
    try:
        return _same(gold_family, answer_family)
    except (algebra.TooHard, Unreadable):
        return None


def _with_one_letter(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Intervals, lists and conditions in which an integer runs: its name is of no account."""
    gold_split = _split_running(gold)
    answer_split = _split_running(answer)
    if gold_split is None and answer_split is None:
        return None
    gold_body, gold_letter = gold_split or (gold, "")
    answer_body, answer_letter = answer_split or (answer, "")
    if gold_letter and answer_letter and gold_letter != answer_letter:
        lone_letter = rf"(?<![A-Za-z\\]){answer_letter}(?![A-Za-z])"
        answer_body = re.sub(lone_letter, gold_letter, answer_body)
    return comparison.equal(gold_body, answer_body)


def _split_running(text: str) -> tuple[str, str] | None:
    """(the answer, the letter that runs over the integers) of a text that says so at its end."""
    builder = _BUILDER.match(text)
    body = text if builder is None else builder[2].strip()
    match = _RUNS.search(body) or _WORDS_BEFORE.search(body)
    if match is None or not match.start():
        return None
    return _before(match), match[1]


def _same(gold: Family, answer: Family) -> bool | None:
    steps = [
        algebra.equal(gold.step, sign) for sign in (answer.step, algebra.negative(answer.step))
    ]
    if True not in steps:
        return None if None in steps else False
    apart = algebra.quotient(algebra.difference(gold.start, answer.start), gold.step)
    rational = apart.rational
    if rational is None:
        if apart.opaque or len(apart.below) > 1:
            return None
        return False
    return rational.denominator == 1


def _declared(text: str) -> Family | None:
    """The family that says which letter runs over the integers."""
    builder = _BUILDER.match(text)
    if builder is not None:
        text = builder[2].strip()
    congruence = _CONGRUENCE.match(text)
    if congruence is not None and int(congruence[3]):
        letter, remainder, modulus = congruence.groups()
        start = closed_form.exact(number(int(remainder)))
        step = closed_form.exact(number(int(modulus)))
        return Family(letter, start, step)
    match = _RUNS.search(text) or _WORDS_BEFORE.search(text)
    if match is None:
        return None
    return _family(_before(match), match[1])


def _before(match: re.Match[str]) -> str:
    """What stands before a match, without the punctuation that leads to it."""
    return match.string[: match.start()].strip().rstrip(",; ")


def _undeclared(text: str) -> Family | None:
    """A family whose running letter nobody names: the only letter, or the only one of those in
    use for it.
    """
    body = text.rpartition("=")[2]
    letters = {
        letter
        for letter in re.findall(r"(?<![A-Za-z\\])[a-zA-Z](?![A-Za-z])", body)
        if letter not in "ei"
    }
    if len(letters) != 1 or not letters <= _RUNNING_LETTERS:
        return None
    return _family(text, letters.pop())


def _family(text: str, letter: str) -> Family | None:
    sides = [side.strip() for side in split_outside(text, "=")]
    if len(sides) > 2:
        return None
    label = ""
    if len(sides) == 2:
        if not is_label(sides[0]):
            return None
        label = label_key(sides[0])
    try:
        node = parse(sides[-1])
        members = [closed_form.exact(_substituted(node, letter, value)) for value in (0, 1, 2)]
        step = algebra.difference(members[1], members[0])
        next_step = algebra.difference(members[2], members[1])
        if algebra.equal(step, next_step) is not True or not step.above:
            return None
    except (Unreadable, algebra.TooHard):
        return None
    return Family(label, members[0], step)


def _substituted(node: Node, letter: str, value: int) -> Node:
    if node.op == "sym" and node.name == letter:
        return number(value)
    return Node(
        node.op,
        tuple(_substituted(part, letter, value) for part in node.args),
        node.value,
        node.name,
    )
