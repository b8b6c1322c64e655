"""The families of word problems: their sentences, the ranges of their numbers, the steps that solve
them.
"""

from collections.abc import Mapping
from dataclasses import replace

from generator.arithmetic.family import ProblemFamily, StepRule

FAMILIES: tuple[ProblemFamily, ...] = (
    ProblemFamily(
        "buys and gives",
        (
            (
                "{name} has {a} {things}. {name} buys {b} more and then gives {c} of them to"
                " {other}. How many {things} does {name} have now?"
            ),
            (
                "There are {a} {things} in {name}'s box. {name} puts {b} more into it, and {other}"
                " takes {c} out. How many {things} are in the box now?"
            ),
        ),
        {"a": (5, 80), "b": (3, 40), "c": (2, 40)},
        (
            StepRule("total", "a", "+", "b", "the {things} after adding some"),
            StepRule("left", "total", "-", "c", "the {things} left"),
        ),
        "There are {answer} {things} now.",
    ),
    ProblemFamily(
        "change",
        (
            (
                "{name} has {a} dollars and buys {b} {things} for {c} dollars each. "
                "How many dollars does {name} have left?"
            ),
            (
                "A shop sells {things} for {c} dollars each. {name} comes with {a} dollars and buys"
                " {b} of them. How many dollars are left?"
            ),
        ),
        {"a": (20, 120), "b": (2, 9), "c": (2, 12)},
        (
            StepRule("spent", "b", "*", "c", "the dollars spent on {things}"),
            StepRule("left", "a", "-", "spent", "the dollars left"),
        ),
        "{name} has {answer} dollars left.",
    ),
    ProblemFamily(
        "boxes and loose ones",
        (
            (
                "{name} has {a} boxes with {b} {things} in each box, and {c} loose {things}. "
                "How many {things} does {name} have in all?"
            ),
            (
                "In a store there are {a} shelves with {b} {things} on each, and {name} brings {c}"
                " more {things}. How many {things} are in the store?"
            ),
        ),
        {"a": (2, 9), "b": (3, 12), "c": (3, 60)},
        (
            StepRule("packed", "a", "*", "b", "the {things} that are packed"),
            StepRule("all", "packed", "+", "c", "all the {things}"),
        ),
        "That makes {answer} {things} in all.",
    ),
    ProblemFamily(
        "broken ones",
        (
            (
                "{name} orders {a} packs of {b} {things}. When they arrive, {c} {things} are"
                " broken. How many {things} are not broken?"
            ),
            (
                "{a} children bring {b} {things} each to a school sale, and {c} {things} are not"
                " sold. {name} counts the rest. How many {things} were sold?"
            ),
        ),
        {"a": (3, 9), "b": (4, 12), "c": (2, 30)},
        (
            StepRule("all", "a", "*", "b", "all the {things}"),
            StepRule("rest", "all", "-", "c", "the {things} that remain"),
        ),
        "The number of {things} is {answer}.",
    ),
    ProblemFamily(
        "sharing",
        (
            (
                "{name} has {a} {things} and finds {b} more. {name} shares all of them equally"
                " among {c} friends. How many {things} does each friend get?"
            ),
            (
                "{name} and {other} put {a} {things} and {b} {things} together and fill {c} bags"
                " with the same number in each. How many {things} are in one bag?"
            ),
        ),
        {"a": (6, 60), "b": (4, 40), "c": (2, 9)},
        (
            StepRule("all", "a", "+", "b", "all the {things}"),
            StepRule("each", "all", "/", "c", "the {things} in one share"),
        ),
        "Each share is {answer} {things}.",
    ),
    ProblemFamily(
        "two prices",
        (
            (
                "{name} buys {a} {things} for {b} dollars each and {c} {goods} for {d} dollars"
                " each. How many dollars does {name} spend?"
            ),
            (
                "At a fair, {things} cost {b} dollars each and {goods} cost {d} dollars each. "
                "{name} pays for {a} {things} "
                "and {c} {goods}. How many dollars is that?"
            ),
        ),
        {"a": (2, 9), "b": (2, 9), "c": (2, 9), "d": (2, 9)},
        (
            StepRule("first", "a", "*", "b", "the dollars for the {things}"),
            StepRule("second", "c", "*", "d", "the dollars for the {goods}"),
            StepRule("all", "first", "+", "second", "the dollars in all"),
        ),
        "{name} spends {answer} dollars.",
    ),
    ProblemFamily(
        "pages",
        (
            (
                "A book about {things} has {a} pages. {name} reads {b} pages a day for {c} days. "
                "How many pages are left to read?"
            ),
            (
                "{name} must read {a} pages for {other}'s class and reads {b} pages every evening. "
                "How many pages are left after {c} evenings?"
            ),
        ),
        {"a": (40, 200), "b": (3, 15), "c": (2, 9)},
        (
            StepRule("read", "b", "*", "c", "the pages already read"),
            StepRule("left", "a", "-", "read", "the pages left"),
        ),
        "There are {answer} pages left.",
    ),
    ProblemFamily(
        "times as many",
        (
            (
                "{name} has {a} {things}. {other} has {b} times as many. How many {things} do they"
                " have together?"
            ),
            (
                "{name} picks {a} {things}, and {other} picks {b} times as many {things} as {name}."
                " How many {things} do they pick in all?"
            ),
        ),
        {"a": (3, 30), "b": (2, 6)},
        (
            StepRule("others", "a", "*", "b", "the {things} of {other}"),
            StepRule("all", "a", "+", "others", "the {things} of both"),
        ),
        "Together they have {answer} {things}.",
    ),
    ProblemFamily(
        "more than",
        (
            (
                "{name} has {a} {things}. {other} has {b} more {things} than {name}. "
                "How many {things} do they have together?"
            ),
            (
                "{name} sells {a} {things} on Monday and {b} more than that on Tuesday. "
                "How many {things} does {name} sell on both days?"
            ),
        ),
        {"a": (5, 80), "b": (2, 30)},
        (
            StepRule("more", "a", "+", "b", "the larger number of {things}"),
            StepRule("all", "a", "+", "more", "the {things} in all"),
        ),
        "That is {answer} {things} in all.",
    ),
    ProblemFamily(
        "wages",
        (
            (
                "{name} earns {a} dollars an hour for packing {things} and works {b} hours a day. "
                "How many dollars does {name} earn in {c} days?"
            ),
            (
                "{name} sells {things} for {b} hours every day for {c} days and is paid {a} dollars"
                " for each hour. How many dollars does {name} get?"
            ),
        ),
        {"a": (4, 15), "b": (2, 8), "c": (2, 6)},
        (
            StepRule("daily", "a", "*", "b", "the dollars for one day"),
            StepRule("all", "daily", "*", "c", "the dollars for all days"),
        ),
        "{name} earns {answer} dollars.",
    ),
    ProblemFamily(
        "bus",
        (
            (
                "A bus starts with {a} people. At the first stop {b} get off and {c} get on. "
                "At the second stop {d} get off. "
                "{name} counts the people. How many people are on the bus?"
            ),
            (
                "{name} counts {a} people on a train. Then {b} leave, {c} come in, and later {d}"
                " leave. How many people are on the train?"
            ),
        ),
        {"a": (20, 90), "b": (2, 20), "c": (2, 20), "d": (2, 20)},
        (
            StepRule("first", "a", "-", "b", "the people after {b} left"),
            StepRule("second", "first", "+", "c", "the people after {c} came"),
            StepRule("third", "second", "-", "d", "the people after {d} left"),
        ),
        "There are {answer} people.",
    ),
    ProblemFamily(
        "half",
        (
            (
                "{name} has {a} {things} and gives half of them to {other}. Then {name} loses {b}"
                " {things}. How many {things} does {name} have left?"
            ),
            (
                "Half of the {a} {things} on a table belong to {other}, the rest to {name}. {name}"
                " gives {b} away. How many {things} does {name} keep?"
            ),
        ),
        {"a": (10, 120), "b": (2, 30)},
        (
            StepRule("half", "a", "/", "2", "half of the {things}"),
            StepRule("left", "half", "-", "b", "the {things} left"),
        ),
        "{name} has {answer} {things}.",
    ),
    ProblemFamily(
        "savings",
        (
            (
                "{name} saves {a} dollars each week for {b} weeks, then spends {c} dollars on"
                " {things} and gets {d} dollars from {other}. How many dollars does {name} have?"
            ),
            (
                "For {b} weeks {name} puts {a} dollars a week into a jar. Then {name} takes {c}"
                " dollars out for {things}, and {other} puts {d} dollars in. How many dollars are"
                " in the jar?"
            ),
        ),
        {"a": (3, 12), "b": (3, 9), "c": (4, 40), "d": (2, 40)},
        (
            StepRule("saved", "a", "*", "b", "the dollars saved"),
            StepRule("left", "saved", "-", "c", "the dollars after buying {things}"),
            StepRule("now", "left", "+", "d", "the dollars after the gift"),
        ),
        "There are {answer} dollars.",
    ),
    ProblemFamily(
        "seats",
        (
            (
                "A hall has {a} rows of {b} seats. {name} and {other} see that {c} seats are taken."
                " How many seats are free?"
            ),
            (
                "{name} and {other} plant {a} rows of {b} trees, and {c} of the trees die. How many"
                " trees are alive?"
            ),
        ),
        {"a": (3, 12), "b": (4, 12), "c": (3, 60)},
        (
            StepRule("all", "a", "*", "b", "all of them"),
            StepRule("rest", "all", "-", "c", "those that are left"),
        ),
        "The answer is {answer}.",
    ),
    ProblemFamily(
        "fence",
        (
            (
                "{name} builds a fence around a garden that is {a} meters long and {b} meters wide,"
                " for {other}'s {things}. How many meters of fence are needed?"
            ),
            (
                "{name} and {other} walk once around a field for {things}, {a} meters long and {b}"
                " meters wide. How many meters is that?"
            ),
        ),
        {"a": (6, 60), "b": (3, 50)},
        (
            StepRule("sides", "a", "+", "b", "one long and one short side"),
            StepRule("around", "sides", "*", "2", "the way around"),
        ),
        "It is {answer} meters.",
    ),
    ProblemFamily(
        "batches",
        (
            (
                "{name} makes {a} batches of {b} {things} and puts them into {c} bags, the same"
                " number in each. How many {things} are in each bag?"
            ),
            (
                "{a} boxes hold {b} {things} each. {name} divides all the {things} equally among"
                " {c} children. How many {things} does each child get?"
            ),
        ),
        {"a": (2, 9), "b": (4, 12), "c": (2, 9)},
        (
            StepRule("all", "a", "*", "b", "all the {things}"),
            StepRule("each", "all", "/", "c", "the {things} in each part"),
        ),
        "Each gets {answer} {things}.",
    ),
    ProblemFamily(
        "how many more",
        (
            (
                "{name} collects {a} {things} in the morning and {b} in the afternoon. {other}"
                " collects {c} {things}. How many more {things} does {name} collect than {other}?"
            ),
            (
                "{name} has {a} red and {b} blue {things}, and {other} has {c} {things}. "
                "How many {things} does {name} have more than {other}?"
            ),
        ),
        {"a": (8, 60), "b": (8, 40), "c": (5, 60)},
        (
            StepRule("all", "a", "+", "b", "the {things} of {name}"),
            StepRule("more", "all", "-", "c", "the difference"),
        ),
        "The difference is {answer} {things}.",
    ),
    ProblemFamily(
        "a bill",
        (
            (
                "{name} buys {a} {things} for {b} dollars each and {c} {goods} for {d} dollars"
                " each, and pays with {e} dollars. How many dollars does {name} get back?"
            ),
            (
                "{name} has {e} dollars and needs {a} {things} at {b} dollars each and {c} {goods}"
                " at {d} dollars each. How many dollars will be left?"
            ),
        ),
        {"a": (2, 8), "b": (2, 8), "c": (2, 8), "d": (2, 8), "e": (40, 150)},
        (
            StepRule("first", "a", "*", "b", "the dollars for the {things}"),
            StepRule("second", "c", "*", "d", "the dollars for the {goods}"),
            StepRule("all", "first", "+", "second", "the dollars in all"),
            StepRule("back", "e", "-", "all", "the dollars that remain"),
        ),
        "{name} has {answer} dollars in the end.",
    ),
)


def _with(name: str, **ranges: tuple[int, int]) -> ProblemFamily:
    """A family by its name, with other ranges for its numbers."""
    return replace(next(family for family in FAMILIES if family.name == name), ranges=ranges)


# Two easy steps each, with numbers that a small model adds and multiplies without help: what a
# student of a hundred million parameters learns from a few hundred traces.
FIRST_STEPS: tuple[ProblemFamily, ...] = (
    _with("buys and gives", a=(5, 30), b=(2, 9), c=(2, 9)),
    _with("change", a=(20, 60), b=(2, 5), c=(2, 6)),
    _with("boxes and loose ones", a=(2, 6), b=(2, 6), c=(2, 9)),
    _with("times as many", a=(2, 9), b=(2, 5)),
    _with("more than", a=(3, 20), b=(2, 9)),
    _with("how many more", a=(5, 20), b=(5, 20), c=(3, 20)),
)


KINDS: Mapping[str, tuple[ProblemFamily, ...]] = {
    "arithmetic": FAMILIES,
    "first-steps": FIRST_STEPS,
}
