r"""Whether an answer says the same as the gold: the grading policy, one clause a method.

Decided here, exactly and in bounded time: spellings, numbers of any length, values in closed form, units, times,
number bases, lists, sets, tuples, intervals and inequalities, equations, matrices, words, multiple choice. What is
left is asked of `symbolic`.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from shared.grading import algebra, lists, literals, quantities, regions, values
from shared.grading.choices import by_choice
from shared.grading.findings import Finding, NeedsWorker, Undecidable
from shared.grading.lists import Listed, is_label, read_list, split_label
from shared.grading.normalise import clean, squash, without_text
from shared.grading.splitting import bracketed, split_outside

MAX_IN_PROCESS = 400  # characters of gold and answer together that are compared outside a worker process
MAX_COMPARED = 10_000
MAX_ITEMS = 100
MAX_DEPTH = 6


# (gold, answer), both cleaned. Raises `Undecidable` where it cannot tell.
Symbolic = Callable[[str, str], Finding]


def compare(gold: str, items: tuple[str, ...], problem: str | None, symbolic: Symbolic | None) -> Finding:
    """Whether the boxes `items` (one answer, or a list in order) say what `gold` says.

    Without `symbolic` raises `NeedsWorker` where the fast path does not decide; with it may raise `Undecidable`.
    """
    if len(items) == 1 and gold.strip() == items[0].strip():
        return Finding(True, "the same text", "exact")
    length = len(gold) + sum(map(len, items))
    if length > MAX_COMPARED:
        raise Undecidable(f"{length} characters are too many to compare")
    if symbolic is None and length > MAX_IN_PROCESS:
        raise NeedsWorker
    return _Comparison(problem or "", symbolic).finding(clean(gold), tuple(clean(item) for item in items))


class _Comparison:
    """One comparison: the problem it belongs to, whom to ask, and what that one said last."""

    def __init__(self, problem: str, symbolic: Symbolic | None) -> None:
        self.problem = problem
        self.symbolic = symbolic
        self.opinion: Finding | None = None

    def finding(self, gold: str, answers: tuple[str, ...]) -> Finding:
        if len(answers) > 1:
            equal, how = self.boxes_equal(gold, answers), "as lists"
        elif (chosen := by_choice(gold, answers[0], self.problem, self.equal)) is not None:
            return chosen
        else:
            equal = self.equal(gold, answers[0], 0)
            how = "in the same form" if squash(gold) == squash(answers[0]) else "by value"
        if self.opinion is not None:
            how = self.opinion.how
        return Finding(
            equal, f"{'equal' if equal else 'not equal'} {how}", self.opinion.checked_by if self.opinion else "exact"
        )

    def boxes_equal(self, gold: str, answers: tuple[str, ...]) -> bool:
        listed = read_list(gold)
        if listed is None:
            # "\boxed{15\frac{3}{4}} or \boxed{\frac{63}{4}}": one value in several forms. Boxes that are spelled alike
            # are a list: nothing is merged.
            forms = {squash(answer) for answer in answers}
            return len(forms) == len(answers) and all(self.equal(gold, answer, 1) for answer in answers)
        return self.lists_equal(listed, Listed("boxes", answers), 0)

    # One answer against one gold. Each reading decides (True, False) or passes (None).

    def equal(self, gold: str, answer: str, depth: int) -> bool:
        if squash(without_text(gold)) == squash(without_text(answer)):
            return True
        if depth > MAX_DEPTH:
            raise Undecidable("nested too deep to compare")
        for read in (
            self._as_digits,
            self._as_thousands,
            self._as_times,
            self._as_approximations,
            self._as_matrices,
            self._as_bases,
            self._as_words,
            self._as_regions,
            self._as_lists,
            self._as_equations,
            self._as_ratios,
        ):
            decided = read(gold, answer, depth)
            if decided is not None:
                return decided
        return self._as_quantities(gold, answer)

    def _as_digits(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = literals.read_digits(gold), literals.read_digits(answer)
        return None if left is None or right is None else left == right

    def _as_thousands(self, gold: str, answer: str, depth: int) -> bool | None:
        """`58,500` is one number; it may also be a list, but then against another list, in the same order."""
        left, right = literals.without_thousands(gold), literals.without_thousands(answer)
        if left is None and right is None:
            return None
        if any(bracketed(text) is not None for text in (gold, answer)):
            return None  # (100,200) is a pair
        if self.equal(left or gold, right or answer, depth + 1):
            return True
        both = read_list(gold), read_list(answer)
        if both[0] is None or both[1] is None:
            return False
        return self.lists_equal(Listed("tuple", both[0].items), Listed("tuple", both[1].items), depth + 1)

    def _as_times(self, gold: str, answer: str, depth: int) -> bool | None:
        """4:30 is not 2:15: of what looks like times nothing is cancelled."""
        left, right = literals.read_time(gold), literals.read_time(answer)
        if left is None and right is None:
            return None
        if left is None or right is None:
            return False if (left or right or ("", ""))[1] else None
        if left[0] == right[0] and not (left[1] and right[1]):
            return True
        return bool(left[1] or right[1]) and literals.on_24_hours(left) == literals.on_24_hours(right)

    def _as_approximations(self, gold: str, answer: str, depth: int) -> bool | None:
        """`exact ≈ rounded`: either may stand for both, but where both sides give both, both must agree."""
        golds, answers = (
            [part.strip() for part in split_outside(text, r"\\approx(?![A-Za-z])") if part.strip()]
            for text in (gold, answer)
        )
        if "\\approx" not in gold + answer or len(golds) > 3 or len(answers) > 3:
            return None
        if len(golds) > 1 and len(answers) > 1:
            return self.equal(golds[0], answers[0], depth + 1) and (
                values.same_when_rounded(golds[-1], answers[-1]) or self.equal(golds[-1], answers[-1], depth + 1)
            )
        return any(self.equal(left, right, depth + 1) for left in golds for right in answers)

    def _as_matrices(self, gold: str, answer: str, depth: int) -> bool | None:
        if "\\begin" not in gold and "\\begin" not in answer:
            return None
        left, right = lists.read_rows(gold), lists.read_rows(answer)
        if left is None or right is None:
            return None if "=" in gold or "=" in answer else False
        if [len(row) for row in left] != [len(row) for row in right]:
            return False
        entries = zip((entry for row in left for entry in row), (entry for row in right for entry in row), strict=True)
        return all(self.equal(a, b, depth + 1) for a, b in entries)

    def _as_bases(self, gold: str, answer: str, depth: int) -> bool | None:
        """`52_8` is the digits 52 in base 8: not 42, not 52_9; without its base only where the problem names it."""
        left, right = literals.read_based(gold), literals.read_based(answer)
        if left is None and right is None:
            return None
        if left is not None and right is not None:
            return left == right
        digits, base = left or right or ("", "")
        plain = squash(answer if left else gold).upper().removeprefix("\\TEXT{").removesuffix("}")
        return plain == digits and literals.names_base(self.problem, base)

    def _as_words(self, gold: str, answer: str, depth: int) -> bool | None:
        if literals.says_nothing(gold) and literals.says_nothing(answer):
            return True
        if (stated := literals.read_statement(answer)) is not None:
            return self.equal(gold, stated, depth + 1)
        left, right = literals.read_words(gold), literals.read_words(answer)
        if left is None and right is None:
            return None
        numbers = literals.number_word(left), literals.number_word(right)
        if numbers[0] or numbers[1]:
            return self.equal(numbers[0] or gold, numbers[1] or answer, depth + 1)
        if left is not None and right is not None:
            return left == right or "".join(left) == "".join(right)
        text, other = (gold, answer) if left is not None else (answer, gold)
        if values.is_value(other):
            return False
        return None if "=" in other or "\\text" in other or regions.hints_at_region(text) else False

    def _as_regions(self, gold: str, answer: str, depth: int) -> bool | None:
        """`[-2,7]` is `-2 \\le x \\le 7`."""
        if not (regions.hints_at_region(gold) or regions.hints_at_region(answer)):
            return None
        left, right = regions.read_region(gold), regions.read_region(answer)
        if left is not None and right is not None:
            if left.variable and right.variable and left.variable != right.variable:
                return False
            return regions.same_region(left.region, right.region)
        if left is None and right is None:
            return self._as_relations(gold, answer, depth)
        other = answer if left is not None else gold
        return False if isinstance(values.exact_form(other), algebra.Form) else None

    def _as_relations(self, gold: str, answer: str, depth: int) -> bool | None:
        """Inequalities in several variables: the same relation between equal sides, also read from the right."""
        left, right = regions.read_relation(gold), regions.read_relation(answer)
        if left is None or right is None:
            return None
        if left[1] != right[1]:
            right = regions.mirrored(right)
        if left[1] != right[1]:
            return False
        return self.equal(left[0], right[0], depth + 1) and self.equal(left[2], right[2], depth + 1)

    def _as_lists(self, gold: str, answer: str, depth: int) -> bool | None:
        left, right = read_list(gold), read_list(answer)
        if left is None and right is None:
            return None
        return self.lists_equal(left or Listed("single", (gold,)), right or Listed("single", (answer,)), depth)

    def lists_equal(self, gold: Listed, answer: Listed, depth: int) -> bool:
        """In order for tuples and where only one side has labels; else as sets with multiplicity."""
        if len(gold.items) != len(answer.items):
            return False
        if len(gold.items) > MAX_ITEMS:
            raise Undecidable(f"a list of {len(gold.items)} items")
        kinds = {gold.kind, answer.kind}
        if kinds == {"set", "tuple"}:
            return False
        if len(gold.items) == 2 and gold.brackets and answer.brackets and gold.brackets != answer.brackets:
            return False  # (1,2), [1,2] and (1,2] are different intervals
        if "single" in kinds:
            return self.equal(gold.items[0], answer.items[0], depth + 1)
        labelled = [[split_label(item) for item in side.items] for side in (gold, answer)]
        distinct = [all(name for name, _ in side) and len(dict(side)) == len(side) for side in labelled]
        if all(distinct):
            named = dict(labelled[1])
            return all(name in named and self.equal(value, named[name], depth + 1) for name, value in labelled[0])
        items = [[value for _, value in side] for side in labelled]
        if any(distinct) or "tuple" in kinds:
            return all(self.equal(a, b, depth + 1) for a, b in zip(*items, strict=True))
        return self._same_multiset(items[0], items[1], depth)

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
        if len(left) == len(right) == 1 or not all((*left, *right)):
            return None
        if len(left) == 1 or len(right) == 1:
            return self._without_label(left, right, depth)
        if len(left) != 2 or len(right) != 2:
            return squash(left[0]) == squash(right[0]) and self.equal(left[-1], right[-1], depth + 1)
        if values.same_name(left[0], right[0]):
            return self.equal(left[1], right[1], depth + 1)
        if all(map(values.is_value, (*left, *right))):  # "0.56 = 56%": a value in two forms, not an equation
            return self.equal(left[0], right[0], depth + 1) and self.equal(left[1], right[1], depth + 1)
        forms = values.zero_form(left), values.zero_form(right)
        if forms[0] is not None and forms[1] is not None:
            same = values.bounded(algebra.proportional, forms[0], forms[1])
            if same is not None:
                return same
        zeros = [f"({side[0]})-({side[1]})" for side in (left, right)]
        return self._ask(zeros[0], zeros[1]) or self._ask(zeros[0], f"-({zeros[1]})")

    def _without_label(self, left: list[str], right: list[str], depth: int) -> bool | None:
        """`x = 5` against `5`: the name of what was asked may be left out; of a calculation the result counts."""
        chain, other = (left, right[0]) if len(right) == 1 else (right, left[0])
        if len(chain) > 12:
            return False
        result = chain[-1]
        if len(chain) == 2 and is_label(chain[1]) and not is_label(chain[0]):
            result = chain[0]  # "5 = x"
        elif not (is_label(chain[0]) or all(map(values.is_value, chain[:-1])) or re.search(r"[(\\|]", chain[0])):
            return False
        return self.equal(*((result, other) if chain is left else (other, result)), depth + 1)

    def _as_ratios(self, gold: str, answer: str, depth: int) -> bool | None:
        """`2:3`, `2 \\text{ to } 3`, `\\frac{2}{3}`."""
        left, right = values.read_ratio(gold), values.read_ratio(answer)
        if left is None and right is None:
            return None
        if left is not None and right is not None and (len(left) > 2 or len(right) > 2):
            return len(left) == len(right) and all(
                self.equal(a, b, depth + 1) for a, b in zip(left, right, strict=True)
            )
        if any(map(literals.read_time, (gold, answer))) and "ratio" not in self.problem.casefold():
            return False  # 4:30 is a time of day, not 2/15
        quotients = [f"({pair[0]})/({pair[1]})" if pair else text for pair, text in ((left, gold), (right, answer))]
        if any(pair is not None and len(pair) > 2 for pair in (left, right)):
            return False
        return self._as_quantities(quotients[0], quotients[1])

    def _as_quantities(self, gold: str, answer: str) -> bool:
        """Values in closed form; units and percent signs are optional, conflicting ones wrong."""
        left, right = quantities.read_quantity(gold), quantities.read_quantity(answer)
        if quantities.is_plain(gold):  # then "6m" has a unit, no variable
            right = quantities.read_short_unit(right)
        if not quantities.compatible(left, right) or (left.percent and right.unit) or (right.percent and left.unit):
            return False
        a, b = values.exact_form(left.value), values.exact_form(right.value)
        if isinstance(a, algebra.Form) and isinstance(b, algebra.Form):
            if left.unit and left.unit == right.unit:
                a, b = values.scaled(a, left.factor), values.scaled(b, right.factor)
            same = values.bounded(algebra.equal, a, b)
            if same is False and left.percent and not right.percent and not right.unit:
                # A gold in percent names its value: 50% is 50, and also 1/2. The other way round 50% is 50 only.
                same = values.bounded(algebra.equal, values.scaled(a, Fraction(1, 100)), b)
            if same is not None:
                return same
        if left.unit and right.unit and left.factor != right.factor:
            raise Undecidable("units to convert between values that are not in closed form")
        return self._ask(left.value, right.value)

    def _ask(self, gold: str, answer: str) -> bool:
        if self.symbolic is None:
            raise NeedsWorker
        self.opinion = self.symbolic(gold, answer)
        return self.opinion.equal
