r"""Readings of answers as they stand: digits, times, numbers in a base, words, sentences, and what
is said beside one.

Each takes (comparison, gold, answer), gold and answer cleaned, and decides (True, False) or
passes (None).
"""

import re

from shared.grading import literals, regions, values
from shared.grading.comparison import Comparison
from shared.grading.lists import Listed, read_list, split_label
from shared.grading.normalise import squash
from shared.grading.sets import lists_equal
from shared.grading.splitting import bracketed, split_outside

# "for all n >= 2", "where k is an integer" behind an answer. Never "if" and "when": those cut an
# answer in pieces.
_QUALIFIER = re.compile(
    r"(?:,|;|\\text\{[\s,]*\})*\s*(?:\\text\{[\s,(]*(?:for|where|with)\s+(?:all|any|every|each|some)?[^{}]*\}"
    r"|\\forall|\bfor\s+(?:all|any|every|each)\b)(.*)$",
    re.DOTALL,
)


def as_digits(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Plain numbers of any length."""
    left, right = literals.read_digits(gold), literals.read_digits(answer)
    return None if left is None or right is None else left == right


def as_thousands(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`58,500` is one number; it may also be a list, but then against another list, in the same
    order.
    """
    left, right = literals.without_thousands(gold), literals.without_thousands(answer)
    if left is None and right is None:
        return None
    if any(bracketed(text) is not None for text in (gold, answer)):
        return None  # (100,200) is a pair
    if comparison.equal(left or gold, right or answer):
        return True
    both = read_list(gold), read_list(answer)
    if both[0] is None or both[1] is None:
        return False
    return lists_equal(comparison, Listed("tuple", both[0].items), Listed("tuple", both[1].items))


def as_times(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """4:30 is not 2:15: of what looks like times nothing is cancelled."""
    left, right = literals.read_time(gold), literals.read_time(answer)
    if left is None and right is None:
        return None
    if left is None or right is None:
        return False if (left or right or ("", ""))[1] else None
    if left[0] == right[0] and not (left[1] and right[1]):
        return True
    return bool(left[1] or right[1]) and literals.on_24_hours(left) == literals.on_24_hours(right)


def as_qualified(comparison: Comparison, gold: str, answer: str) -> bool | None:
    r"""`x+1 \text{ for all } x`: a qualifier may be left out; where both have one, its
    relations must agree.
    """
    if not any(word in gold + answer for word in ("for", "where", "with")):
        return None
    both = [_split_qualifier(text) for text in (gold, answer)]
    if not both[0][1] and not both[1][1]:
        return None
    (left, left_said), (right, right_said) = both
    if left_said and right_said and not _same_relations(left_said, right_said):
        return False
    return comparison.equal(left, right)


def _split_qualifier(text: str) -> tuple[str, str]:
    """(the answer, the qualifier behind it or "")."""
    match = _QUALIFIER.search(text)
    if match is None or not text[: match.start()].strip() or bracketed(text) is not None:
        return text, ""
    return text[: match.start()].strip().rstrip(",;"), text[match.start() :]


def _same_relations(left: str, right: str) -> bool:
    """Whether two qualifiers name the same numbers and relations, whatever their words."""
    said = [re.findall(r"\d+|\\(?:le|ge|ne|in)(?![A-Za-z])|[<>]", text) for text in (left, right)]
    return said[0] == said[1] or not all(said)


def as_approximations(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`exact ≈ rounded`: either may stand for both, but where both sides give both, both must
    agree.
    """
    if "\\approx" not in gold + answer:
        return None
    golds, answers = (
        [part.strip() for part in split_outside(text, r"\\approx(?![A-Za-z])") if part.strip(" +-")]
        for text in (gold, answer)
    )
    if (
        len(golds) > 3
        or len(answers) > 3
        or any(re.match(r"\s*[+-]\s*\\approx", text) for text in (gold, answer))
    ):
        return None
    if len(golds) > 1 and len(answers) > 1:
        return comparison.equal(golds[0], answers[0]) and (
            values.same_when_rounded(golds[-1], answers[-1])
            or comparison.equal(golds[-1], answers[-1])
        )
    return any(comparison.equal(left, right) for left in golds for right in answers)


def as_bases(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`52_8` is the digits 52 in base 8: not 42, not 52_9; without its base only where the
    problem names it.
    """
    left, right = (literals.read_based(split_label(text)[1]) for text in (gold, answer))
    if left is None and right is None:
        return None
    if left is not None and right is not None:
        return left == right
    digits, base = left or right or ("", "")
    plain = squash(answer if left else gold).upper().removeprefix("\\TEXT{").removesuffix("}")
    return plain == digits and literals.names_base(comparison.problem, base)


def as_words(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Answers in words, number words, and sentences that state a number."""
    if literals.says_nothing(gold) and literals.says_nothing(answer):
        return True
    stated = literals.read_statement(answer)
    if stated is not None:
        return comparison.equal(gold, stated)
    if (
        gold.isupper()
        and answer.isupper()
        and min(len(gold), len(answer)) > 2
        and (gold + answer).isalpha()
    ):
        return gold == answer  # ABC and ACB: an order or a figure, no product
    said = _as_sentences(comparison, gold, answer)
    if said is not None:
        return said
    left, right = literals.read_words(gold), literals.read_words(answer)
    if left is None and right is None:
        return None
    numbers = literals.number_word(left), literals.number_word(right)
    if numbers[0] or numbers[1]:
        return comparison.equal(numbers[0] or gold, numbers[1] or answer)
    if left is not None and right is not None:
        return literals.same_words(left, right)
    text, other = (gold, answer) if left is not None else (answer, gold)
    if values.is_value(other):
        return False
    return None if "=" in other or "\\text" in other or regions.hints_at_region(text) else False


def _as_sentences(comparison: Comparison, gold: str, answer: str) -> bool | None:
    r"""`\text{She needs 12 eggs}` against the number 12."""
    if not gold.startswith("\\text") and not answer.startswith("\\text"):
        return None
    left, right = literals.read_sentence(gold), literals.read_sentence(answer)
    if right is not None and values.is_value(gold):
        return comparison.equal(gold, right)
    if left is not None and values.is_value(answer):
        return comparison.equal(left, answer)
    return None
