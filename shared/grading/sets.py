r"""Readings of answers with parts: matrices, regions of the line, inequalities, lists, tuples
and sets.
"""

import itertools

from shared.grading import algebra, regions, values
from shared.grading.comparison import Comparison
from shared.grading.lists import (
    Listed,
    base_of_label,
    in_order_of_label,
    read_list,
    read_rows,
    split_label,
)
from shared.grading.normalise import squash
from shared.grading.outcome import Undecidable
from shared.grading.parts import read_parts
from shared.grading.splitting import Matrix

MAX_ITEMS = 100

Labelled = list[tuple[str, str]]  # (label or "", value)


def as_matrices(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Entry by entry. A determinant is no matrix; a system of cases is the list of its rows."""
    if "\\begin" not in gold and "\\begin" not in answer:
        return None
    left, right = read_rows(gold), read_rows(answer)
    systems = [_as_system(matrix) for matrix in (left, right)]
    if systems[0] is not None or systems[1] is not None:
        return _systems_equal(
            comparison, systems[0] or read_list(gold), systems[1] or read_list(answer)
        )
    if left is None or right is None:
        return None if "=" in gold or "=" in answer else False
    if left.kind != right.kind or [len(row) for row in left.rows] != [
        len(row) for row in right.rows
    ]:
        return False
    if left.factor and right.factor and not values.same_name(left.factor, right.factor):
        return False  # A = (...) is not B = (...)
    entries = zip(_entries(left), _entries(right), strict=True)
    return all(comparison.equal(a, b) for a, b in entries)


def _entries(matrix: Matrix) -> list[str]:
    return [entry for row in matrix.rows for entry in row]


def _as_system(matrix: Matrix | None) -> Listed | None:
    if matrix is None or matrix.kind != "cases" or any(len(row) > 1 for row in matrix.rows):
        return None
    return Listed("list", tuple(row[0].rstrip(",; ") for row in matrix.rows))


def _systems_equal(comparison: Comparison, gold: Listed | None, answer: Listed | None) -> bool:
    return gold is not None and answer is not None and lists_equal(comparison, gold, answer)


def as_regions(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`[-2,7]` is `-2 \\le x \\le 7`."""
    if not (regions.hints_at_region(gold) or regions.hints_at_region(answer)):
        return None
    left, right = regions.read_region(gold), regions.read_region(answer)
    if left is not None and right is not None:
        if left.variable and right.variable and left.variable != right.variable:
            return False
        return regions.same_region(left.region, right.region)
    if left is None and right is None:
        return _as_relations(comparison, gold, answer)
    other = answer if left is not None else gold
    if regions.closed_at_infinity(other):
        return False
    return False if isinstance(values.exact_form(other), algebra.Form) else None


def _as_relations(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Inequalities in several variables: the same relation between equal sides, also read from
    the right.
    """
    left, right = regions.read_relation(gold), regions.read_relation(answer)
    if left is None or right is None:
        return None
    if left[1] != right[1]:
        right = regions.mirrored(right)
    if left[1] != right[1]:
        return False
    return comparison.equal(left[0], right[0]) and comparison.equal(left[2], right[2])


def as_parts(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`(1) 5; (2) 7`: part by part, in order, also against a plain list."""
    left, right = read_parts(gold), read_parts(answer)
    if left is None and right is None:
        return None
    other = read_list(gold if left is None else answer)
    golds = left or (other.items if other else (gold,))
    answers = right or (other.items if other else (answer,))
    if len(golds) != len(answers):
        return None if left is None else False
    return all(comparison.equal(a, b) for a, b in zip(golds, answers, strict=True))


def as_lists(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Lists, tuples and sets, where one side at least is one."""
    left, right = read_list(gold), read_list(answer)
    if left is None and right is None:
        return None
    return lists_equal(
        comparison, left or Listed("single", (gold,)), right or Listed("single", (answer,))
    )


def lists_equal(comparison: Comparison, gold: Listed, answer: Listed) -> bool:
    """In order for tuples and where only one side has labels; else as sets with multiplicity."""
    if len(gold.items) != len(answer.items):
        return False
    if len(gold.items) > MAX_ITEMS:
        raise Undecidable(f"a list of {len(gold.items)} items")
    kinds = {gold.kind, answer.kind}
    if kinds == {"set", "tuple"} or _connected_otherwise(gold, answer):
        return False
    if (
        len(gold.items) == 2
        and gold.brackets
        and answer.brackets
        and gold.brackets != answer.brackets
    ):
        return False  # (1,2), [1,2] and (1,2] are different intervals
    if (
        kinds == {"set", "single"}
        and not values.is_value(gold.items[0])
        and not values.is_value(answer.items[0])
    ):
        return False  # {x} is the fractional part of x, or a set, not x
    if "single" in kinds:
        return comparison.equal(gold.items[0], answer.items[0])
    if gold.label and answer.label:
        ordered = in_order_of_label(gold, answer)
        if ordered is None:
            return False
        answer = ordered
    labelled = [[split_label(item) for item in side.items] for side in (gold, answer)]
    mixed = len(set(gold.connectives)) > 1  # "p and q or r": then the same in the other
    return _items_equal(comparison, labelled[0], labelled[1], "tuple" in kinds or mixed)


def _connected_otherwise(gold: Listed, answer: Listed) -> bool:
    """Whether one says "and" where the other says "or". A comma may stand for either."""
    kinds = [set(side.connectives) for side in (gold, answer)]
    if len(kinds[0]) > 1 or len(kinds[1]) > 1:
        return gold.connectives != answer.connectives
    return bool(kinds[0] and kinds[1]) and kinds[0] != kinds[1]


def _items_equal(comparison: Comparison, gold: Labelled, answer: Labelled, ordered: bool) -> bool:
    distinct = [_all_named(side) for side in (gold, answer)]
    if all(distinct):
        named = dict(answer)
        return all(name in named and comparison.equal(value, named[name]) for name, value in gold)
    if _roots_of_one_letter(gold, answer):  # x_1 = 1, x_2 = 2 and x = 2, x = 1
        gold, answer = ([("", value) for _, value in side] for side in (gold, answer))
    elif ordered or any(distinct):
        pairs = zip(_by_coordinates(gold, answer), _by_coordinates(answer, gold), strict=True)
        return all(_same_label(a, b) and comparison.equal(a[1], b[1]) for a, b in pairs)
    return _same_multiset(comparison, gold, answer)


def _all_named(side: Labelled) -> bool:
    return all(name for name, _ in side) and len(dict(side)) == len(side)


def _same_label(a: tuple[str, str], b: tuple[str, str]) -> bool:
    return not a[0] or not b[0] or a[0] == b[0]


def _roots_of_one_letter(gold: Labelled, answer: Labelled) -> bool:
    bases = [{base_of_label(name) for name, _ in side} for side in (gold, answer)]
    indexed = [any(name != base_of_label(name) for name, _ in side) for side in (gold, answer)]
    return (
        bases[0] == bases[1]
        and len(bases[0]) == 1
        and "" not in bases[0]
        and indexed[0] != indexed[1]
    )


def _by_coordinates(side: Labelled, other: Labelled) -> Labelled:
    """`y=3, x=2` against a bare (2,3): letters that follow one another in the alphabet are read
    in its order.
    """
    names = sorted(name for name, _ in side)
    if any(name for name, _ in other) or not all(len(name) == 1 for name in names):
        return side
    follow = all(ord(b) - ord(a) == 1 for a, b in itertools.pairwise(names))
    return sorted(side) if follow else side


def _same_multiset(comparison: Comparison, gold: Labelled, answer: Labelled) -> bool:
    rest = list(answer)
    for wanted in gold:
        spelled = squash(wanted[1])
        same = (
            at
            for at, item in enumerate(rest)
            if squash(item[1]) == spelled and _same_label(wanted, item)
        )
        index = next(same, None)
        if index is None:
            equal = (
                at
                for at, item in enumerate(rest)
                if _same_label(wanted, item) and comparison.equal(wanted[1], item[1])
            )
            index = next(equal, None)
        if index is None:
            return False
        del rest[index]
    return not rest
