"""What the rehearsal teacher says: right answers by right steps, wrong ones on purpose, in both
voices.
"""

import random
import re

import pytest

from generator.arithmetic.families import KINDS
from generator.problems import synthetic
from generator.rehearsal.solver import Voice, solve


def drawn(kind: str, count: int = 300) -> list[tuple[str, str]]:
    return [row for row, _ in zip(synthetic.problems(7, kind), range(count), strict=False)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("voice", ["r1", "brief"])
def test_every_equation_holds_and_the_box_is_the_gold_answer(kind: str, voice: Voice) -> None:
    for number, (text, gold) in enumerate(drawn(kind)):
        reasoning, response = solve(text, random.Random(number), voice=voice)
        assert response.count("\\boxed{") == 1
        assert f"\\boxed{{{gold}}}" in response
        for left_side, op, right_side, result in re.findall(
            r"(\d+) ([-+*/]) (\d+) = (\d+)", reasoning + response
        ):
            true_result = {
                "+": int.__add__,
                "-": int.__sub__,
                "*": int.__mul__,
                "/": int.__floordiv__,
            }[op]
            assert true_result(int(left_side), int(right_side)) == int(result), (text, reasoning)


@pytest.mark.parametrize("voice", ["r1", "brief"])
def test_a_slip_always_ends_in_another_answer(voice: Voice) -> None:
    for number, (text, gold) in enumerate(drawn("arithmetic")):
        reasoning, response = solve(text, random.Random(number), wrong=True, voice=voice)
        assert f"\\boxed{{{gold}}}" not in response, (text, reasoning)


def test_the_brief_voice_says_the_steps_alone_in_less_than_half_the_words() -> None:
    lengths: dict[Voice, int] = {"r1": 0, "brief": 0}
    for number, (text, _) in enumerate(drawn("first-steps")):
        for voice in lengths:
            lengths[voice] += len(" ".join(solve(text, random.Random(number), voice=voice)).split())
    assert lengths["brief"] * 2 < lengths["r1"]


def test_the_first_steps_are_families_that_the_solver_reads() -> None:
    names = {family.name for family in KINDS["arithmetic"]}
    assert {family.name for family in KINDS["first-steps"]} < names
