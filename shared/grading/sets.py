r"""Readings of answers with parts: matrices, regions of the line, inequalities, lists, tuples
and sets.
"""

import itertools

from shared.grading import algebra, intervals, regions, values
from shared.grading.comparison import Comparison
from shared.grading.lists import (
    Item,
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

Items = list[Item]


def as_matrices(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Entry by entry. A determinant is no matrix; a system of cases is the list of its rows."""
    if "\\begin" not in gold and "\\begin" not in answer:
        return None
    gold_matrix = read_rows(gold)
    answer_matrix = read_rows(answer)
    systems = [_as_system(matrix) for matrix in (gold_matrix, answer_matrix)]
    if systems[0] is not None or systems[1] is not None:
        return _systems_equal(
            comparison,
            systems[0] or read_list(gold),
            systems[1] or read_list(answer),
        )
    if gold_matrix is None or answer_matrix is None:
        return None if "=" in gold or "=" in answer else False
    if gold_matrix.kind != answer_matrix.kind or [len(row) for row in gold_matrix.rows] != [
        len(row) for row in answer_matrix.rows
    ]:
        return False
    if (
        gold_matrix.factor
        and answer_matrix.factor
        and not values.same_name(gold_matrix.factor, answer_matrix.factor)
    ):
        return False  # A = (...) is not B = (...)
    entries = zip(_entries(gold_matrix), _entries(answer_matrix), strict=True)
    return all(comparison.equal(a, b) for a, b in entries)


def _entries(matrix: Matrix) -> list[str]:
    return [entry for row in matrix.rows for entry in row]


def _as_system(matrix: Matrix | None) -> Listed | None:
    if matrix is None or matrix.kind != "cases" or any(len(row) > 1 for row in matrix.rows):
        return None
    return Listed("list", tuple(row[0].rstrip(",; ") for row in matrix.rows))


def _systems_equal(
    comparison: Comparison,
    gold: Listed | None,
    answer: Listed | None,
) -> bool:
    return gold is not None and answer is not None and lists_equal(comparison, gold, answer)


def as_regions(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`[-2,7]` is `-2 \\le x \\le 7`."""
    if not (regions.hints_at_region(gold) or regions.hints_at_region(answer)):
        return None
    gold_region = regions.read_region(gold)
    answer_region = regions.read_region(answer)
    if gold_region is not None and answer_region is not None:
        if (
            gold_region.variable
            and answer_region.variable
            and gold_region.variable != answer_region.variable
        ):
            return False
        return intervals.same_region(gold_region.region, answer_region.region)
    if gold_region is None and answer_region is None:
        return _as_relations(comparison, gold, answer)
    unread_text = answer if gold_region is not None else gold
    if regions.closed_at_infinity(unread_text):
        return False
    if isinstance(values.exact_form(unread_text), algebra.Form):
        return False
    return None


def _as_relations(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Inequalities in several variables: the same relation between equal sides, also read from
    the right.
    """
    gold_relation = regions.read_relation(gold)
    answer_relation = regions.read_relation(answer)
    if gold_relation is None or answer_relation is None:
        return None
    if gold_relation[1] != answer_relation[1]:
        answer_relation = regions.mirrored(answer_relation)
    if gold_relation[1] != answer_relation[1]:
        return False
    return comparison.equal(gold_relation[0], answer_relation[0]) and comparison.equal(
        gold_relation[2], answer_relation[2]
    )


def as_parts(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`(1) 5; (2) 7`: part by part, in order, also against a plain list."""
    gold_parts = read_parts(gold)
    answer_parts = read_parts(answer)
    if gold_parts is None and answer_parts is None:
        return None
    plain_list = read_list(gold if gold_parts is None else answer)
    golds = gold_parts or (plain_list.items if plain_list else (gold,))
    answers = answer_parts or (plain_list.items if plain_list else (answer,))
    if len(golds) != len(answers):
        return None if gold_parts is None else False
    return all(comparison.equal(a, b) for a, b in zip(golds, answers, strict=True))


def as_lists(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Lists, tuples and sets, where one side at least is one."""
    gold_list = read_list(gold)
    answer_list = read_list(answer)
    if gold_list is None and answer_list is None:
        return None
    return lists_equal(
        comparison,
        gold_list or Listed("single", (gold,)),
        answer_list or Listed("single", (answer,)),
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
        answer_in_order = in_order_of_label(gold, answer)
        if answer_in_order is None:
            return False
        answer = answer_in_order
    # "p and q or r" is the same in the other only in its order.
    is_ordered = "tuple" in kinds or len(set(gold.connectives)) > 1
    gold_items = [split_label(item) for item in gold.items]
    answer_items = [split_label(item) for item in answer.items]
    return _items_equal(comparison, gold_items, answer_items, is_ordered)


def _connected_otherwise(gold: Listed, answer: Listed) -> bool:
    """Whether one says "and" where the other says "or". A comma may stand for either."""
    kinds = [set(side.connectives) for side in (gold, answer)]
    if len(kinds[0]) > 1 or len(kinds[1]) > 1:
        return gold.connectives != answer.connectives
    return bool(kinds[0] and kinds[1]) and kinds[0] != kinds[1]


def _items_equal(
    comparison: Comparison,
    gold: Items,
    answer: Items,
    is_ordered: bool,
) -> bool:
    has_distinct_labels = [_all_named(side) for side in (gold, answer)]
    if all(has_distinct_labels):
        answer_values = dict(answer)
        return all(
            name in answer_values and comparison.equal(value, answer_values[name])
            for name, value in gold
        )
    if _roots_of_one_letter(gold, answer):  # x_1 = 1, x_2 = 2 and x = 2, x = 1
        gold, answer = ([Item("", item.value) for item in side] for side in (gold, answer))
    elif is_ordered or any(has_distinct_labels):
        gold_order = _by_coordinates(gold, answer)
        answer_order = _by_coordinates(answer, gold)
        pairs = zip(gold_order, answer_order, strict=True)
        return all(
            _same_label(gold_item, answer_item)
            and comparison.equal(gold_item.value, answer_item.value)
            for gold_item, answer_item in pairs
        )
    return _same_multiset(comparison, gold, answer)


def _all_named(side: Items) -> bool:
    labels = {item.label for item in side}
    return "" not in labels and len(labels) == len(side)


def _same_label(a: Item, b: Item) -> bool:
    return not a.label or not b.label or a.label == b.label


def _roots_of_one_letter(gold: Items, answer: Items) -> bool:
    gold_bases = {base_of_label(item.label) for item in gold}
    answer_bases = {base_of_label(item.label) for item in answer}
    if gold_bases != answer_bases or len(gold_bases) != 1 or "" in gold_bases:
        return False
    return _has_indices(gold) != _has_indices(answer)


def _has_indices(side: Items) -> bool:
    return any(item.label != base_of_label(item.label) for item in side)


def _by_coordinates(side: Items, counterpart: Items) -> Items:
    """`y=3, x=2` against a bare (2,3): letters that follow one another in the alphabet are read
    in its order.
    """
    letters = sorted(item.label for item in side)
    if any(item.label for item in counterpart):
        return side
    if not all(len(letter) == 1 for letter in letters):
        return side
    pairs = itertools.pairwise(letters)
    is_consecutive = all(ord(following) - ord(letter) == 1 for letter, following in pairs)
    return sorted(side) if is_consecutive else side


def _same_multiset(comparison: Comparison, gold: Items, answer: Items) -> bool:
    unmatched = list(answer)
    for gold_item in gold:
        spelling = squash(gold_item.value)
        same = (
            at
            for at, item in enumerate(unmatched)
            if squash(item.value) == spelling and _same_label(gold_item, item)
        )
        index = next(same, None)
        if index is None:
            equal = (
                at
                for at, item in enumerate(unmatched)
                if _same_label(gold_item, item) and comparison.equal(gold_item.value, item.value)
            )
            index = next(equal, None)
        if index is None:
            return False
        del unmatched[index]
    return not unmatched
