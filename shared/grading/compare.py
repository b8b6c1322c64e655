r"""Whether an answer says the same as the gold: the grading policy.

Decided here, exactly and in bounded time: spellings, numbers of any length, values in closed form,
units, times, number bases, lists, sets, tuples, intervals and inequalities, equations, families,
matrices, words, multiple choice. Each reading of `READINGS` decides or passes on to the next; what
is left is asked of `symbolic`.
"""

import re

from shared.grading import equalities, families, literals, sets, wording
from shared.grading.choices import by_choice
from shared.grading.comparison import Comparison, Symbolic
from shared.grading.lists import Listed, read_list
from shared.grading.normalise import clean, squash
from shared.grading.outcome import NeedsWorker, Outcome, Undecidable
from shared.grading.parts import read_parts

# Characters of gold and answer together that are compared outside a worker process.
MAX_IN_PROCESS = 400
MAX_COMPARED = 10_000
_SEVERAL = re.compile(
    r"[,;和或、；，①]|\\pm|\\text|\b(?:and|or)\b|\((?:1|i|a)\)|(?:^|\s)1[.)]|(?:part|question|problem)\s?\(?1"
)

READINGS = (
    wording.as_digits,
    sets.as_parts,
    wording.as_thousands,
    wording.as_times,
    families.as_families,
    wording.as_qualified,
    wording.as_approximations,
    sets.as_matrices,
    wording.as_bases,
    wording.as_words,
    equalities.as_compounds,
    sets.as_regions,
    sets.as_lists,
    equalities.as_equations,
    equalities.as_ratios,
    equalities.as_quantities,
)


def compare(
    gold: str,
    items: tuple[str, ...],
    problem: str | None,
    symbolic: Symbolic | None,
) -> Outcome:
    """Whether the boxes `items` (one answer, or a list in order) say what `gold` says.

    Without `symbolic` raises `NeedsWorker` where the fast path does not decide; with it may raise
    `Undecidable`.
    """
    if len(items) == 1 and gold.strip() == items[0].strip():
        return Outcome(True, "the same text", "exact")
    length = len(gold) + sum(map(len, items))
    if length > MAX_COMPARED:
        raise Undecidable(f"{length} characters are too many to compare")
    if symbolic is None and length > MAX_IN_PROCESS:
        raise NeedsWorker
    gold_text = clean(gold)
    answer_texts = tuple(clean(item) for item in items)
    digits = [literals.read_digits(text) for text in (gold_text, *answer_texts)]
    if len(digits) == 2 and digits[0] and digits[1]:  # plain numbers, as most are
        same = digits[0] == digits[1]
        return Outcome(same, f"{'equal' if same else 'not equal'} by value", "exact")
    return _finding(Comparison(problem or "", symbolic, READINGS), gold_text, answer_texts)


def several(gold: str) -> int:
    """How many answers a gold asks for: the parts or items it has, 1 for anything else."""
    if len(gold) > MAX_IN_PROCESS or not _SEVERAL.search(gold.casefold()):
        return 1
    gold_text = clean(gold)
    parts = read_parts(gold_text)
    if parts is not None:
        return len(parts)
    items = read_list(gold_text)
    if items is not None and items.kind != "tuple":
        return len(items.items)
    return 1


def _finding(
    comparison: Comparison,
    gold: str,
    answers: tuple[str, ...],
) -> Outcome:
    if len(answers) > 1:
        equal = _boxes_equal(comparison, gold, answers)
        how = "as lists"
    else:
        has_parts = read_parts(gold) is not None  # "(I) 5 (II) 7" names no option
        choice = (
            None if has_parts else by_choice(gold, answers[0], comparison.problem, comparison.equal)
        )
        if choice is not None:
            return choice
        equal = comparison.equal(gold, answers[0])
        how = "in the same form" if squash(gold) == squash(answers[0]) else "by value"
    opinion = comparison.opinion
    reason = f"{'equal' if equal else 'not equal'} {opinion.how if opinion else how}"
    return Outcome(equal, reason, opinion.checked_by if opinion else "exact")


def _boxes_equal(
    comparison: Comparison,
    gold: str,
    answers: tuple[str, ...],
) -> bool:
    parts = read_parts(gold)
    gold_list = read_list(gold) if parts is None else Listed("tuple", parts)
    if gold_list is None:
        # "\boxed{15\frac{3}{4}} or \boxed{\frac{63}{4}}": one value in several forms. Boxes that
        # are spelled alike are a list: nothing is merged.
        forms = {squash(answer) for answer in answers}
        return len(forms) == len(answers) and all(
            comparison.equal(gold, answer) for answer in answers
        )
    return sets.lists_equal(comparison, gold_list, Listed("boxes", answers))
