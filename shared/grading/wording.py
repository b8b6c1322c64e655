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
    gold_digits = literals.read_digits(gold)
    answer_digits = literals.read_digits(answer)
    return None if gold_digits is None or answer_digits is None else gold_digits == answer_digits


def as_thousands(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`58,500` is one number; it may also be a list, but then against another list, in the same
    order.
    """
    gold_number = literals.without_thousands(gold)
    answer_number = literals.without_thousands(answer)
    if gold_number is None and answer_number is None:
        return None
    if any(bracketed(text) is not None for text in (gold, answer)):
        return None  # (100,200) is a pair
    if comparison.equal(gold_number or gold, answer_number or answer):
        return True
    lists = read_list(gold), read_list(answer)
    if lists[0] is None or lists[1] is None:
        return False
    return lists_equal(comparison, Listed("tuple", lists[0].items), Listed("tuple", lists[1].items))


def as_times(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """4:30 is not 2:15: of what looks like times nothing is cancelled."""
    gold_time = literals.read_time(gold)
    answer_time = literals.read_time(answer)
    if gold_time is None and answer_time is None:
        return None
    if gold_time is None or answer_time is None:
        time = gold_time or answer_time
        return False if time is not None and time.half else None
    halves = (gold_time.half, answer_time.half)
    if gold_time.clock == answer_time.clock and not all(halves):
        return True
    return any(halves) and gold_time.on_24_hours == answer_time.on_24_hours


def as_qualified(comparison: Comparison, gold: str, answer: str) -> bool | None:
    r"""`x+1 \text{ for all } x`: a qualifier may be left out; where both have one, its
    relations must agree.
    """
    if not any(word in gold + answer for word in ("for", "where", "with")):
        return None
    split_texts = [_split_qualifier(text) for text in (gold, answer)]
    if not split_texts[0][1] and not split_texts[1][1]:
        return None
    (bare_gold, gold_qualifier), (bare_answer, answer_qualifier) = split_texts
    if (
        gold_qualifier
        and answer_qualifier
        and not _same_relations(gold_qualifier, answer_qualifier)
    ):
        return False
    return comparison.equal(bare_gold, bare_answer)


def _split_qualifier(text: str) -> tuple[str, str]:
    """(the answer, the qualifier behind it or "")."""
    match = _QUALIFIER.search(text)
    if match is None or not text[: match.start()].strip() or bracketed(text) is not None:
        return text, ""
    return text[: match.start()].strip().rstrip(",;"), text[match.start() :]


def _same_relations(qualifier: str, answer_qualifier: str) -> bool:
    """Whether two qualifiers name the same numbers and relations, whatever their words."""
    relations = [
        re.findall(r"\d+|\\(?:le|ge|ne|in)(?![A-Za-z])|[<>]", text)
        for text in (qualifier, answer_qualifier)
    ]
    return relations[0] == relations[1] or not all(relations)


def as_approximations(
    comparison: Comparison,
    gold: str,
    answer: str,
) -> bool | None:
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
    return any(
        comparison.equal(gold_part, answer_part) for gold_part in golds for answer_part in answers
    )


def as_bases(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`52_8` is the digits 52 in base 8: not 42, not 52_9; without its base only where the
    problem names it.
    """
    gold_numeral, answer_numeral = (
        literals.read_based(split_label(text)[1]) for text in (gold, answer)
    )
    if gold_numeral is None and answer_numeral is None:
        return None
    if gold_numeral is not None and answer_numeral is not None:
        return gold_numeral == answer_numeral
    digits, base = gold_numeral or answer_numeral or ("", "")
    plain = (
        squash(answer if gold_numeral else gold).upper().removeprefix("\\TEXT{").removesuffix("}")
    )
    return plain == digits and literals.names_base(comparison.problem, base)


def as_words(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Answers in words, number words, and sentences that state a number."""
    if literals.says_nothing(gold) and literals.says_nothing(answer):
        return True
    statement = literals.read_statement(answer)
    if statement is not None:
        return comparison.equal(gold, statement)
    if (
        gold.isupper()
        and answer.isupper()
        and min(len(gold), len(answer)) > 2
        and (gold + answer).isalpha()
    ):
        return gold == answer  # ABC and ACB: an order or a figure, no product
    by_sentence = _as_sentences(comparison, gold, answer)
    if by_sentence is not None:
        return by_sentence
    gold_words = literals.read_words(gold)
    answer_words = literals.read_words(answer)
    if gold_words is None and answer_words is None:
        return None
    numbers = literals.number_word(gold_words), literals.number_word(answer_words)
    if numbers[0] or numbers[1]:
        return comparison.equal(numbers[0] or gold, numbers[1] or answer)
    if gold_words is not None and answer_words is not None:
        return literals.same_words(gold_words, answer_words)
    text, counterpart = (gold, answer) if gold_words is not None else (answer, gold)
    if values.is_value(counterpart):
        return False
    if "=" in counterpart or "\\text" in counterpart or regions.hints_at_region(text):
        return None
    return False


def _as_sentences(comparison: Comparison, gold: str, answer: str) -> bool | None:
    r"""`\text{She needs 12 eggs}` against the number 12."""
    if not gold.startswith("\\text") and not answer.startswith("\\text"):
        return None
    gold_number = literals.read_sentence(gold)
    answer_number = literals.read_sentence(answer)
    if answer_number is not None and values.is_value(gold):
        return comparison.equal(gold, answer_number)
    if gold_number is not None and values.is_value(answer):
        return comparison.equal(gold_number, answer)
    return None
