"""The rehearsal teacher's mind: it reads a word problem, does the arithmetic aloud and boxes the
answer.

The voice is R1's ("Wait, let me check") or `brief`, the steps alone; the sums are broken into
pieces that a small student can learn; and `wrong` makes it slip once, so that the filter has
something to find.
"""

import random
from dataclasses import replace
from typing import Literal

from generator.arithmetic import Worked, Working, calculate, read

Voice = Literal["r1", "brief"]

_OPENERS = (
    "Okay, let me work through this problem step by step.",
    "Okay, so I need to find the answer to this word problem. Let me go slowly.",
    "Alright, let me see what the problem gives me.",
    "Hmm, let me think about what is asked here.",
    "Let me start with what I know.",
    "Okay, let's see. I should write down each step.",
)
_FIRST = ("First, I need", "Let me start with", "The first thing to find is", "To begin, I want")
_NEXT = ("Next, I need", "Then comes", "Now I can find", "After that, I want")
_DOUBTS = (
    "Wait, let me check that.",
    "Let me double-check the last step.",
    "Hmm, is that right? Let me check.",
)
_RELIEF = ("That matches.", "Good, that fits.", "Yes, that is right.")
_VAGUE = ("That looks right.", "I think that is right.", "That seems fine.")
_CLOSERS = ("So the answer is {}.", "So it is {}.", "Therefore, the answer is {}.")
_INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def solve(
    prompt: str, rng: random.Random, wrong: bool = False, voice: Voice = "r1"
) -> tuple[str, str]:
    """(reasoning, response) for the problem in `prompt`. An unknown kind of problem gets no box."""
    worked = read(prompt)
    if worked is None:
        return (
            (
                "Okay, let me read the problem again. It is not of a kind that I was built for, so"
                " I should not guess."
            ),
            (
                "I am the rehearsal teacher and cannot solve this problem. I know only the"
                " synthetic word problems."
            ),
        )
    workings = _slip(worked.workings, rng) if wrong else worked.workings
    answer = workings[-1].result
    if voice == "brief":
        return _recite(workings, worked.workings), f"The answer is \\boxed{{{answer}}}."
    conclusion = (
        worked.conclusion.replace(str(worked.answer), str(answer)) if wrong else worked.conclusion
    )
    return _think(worked, workings, rng, wrong), "\n".join(
        [
            *(f"{w.about[0].upper()}{w.about[1:]}: {w}" for w in workings),
            "",
            f"{conclusion} \\boxed{{{answer}}}",
        ]
    )


def _recite(workings: tuple[Working, ...], right: tuple[Working, ...]) -> str:
    """One line a step: "The plums left: 59 - 30 = 29." """
    lines = []
    for working, meant in zip(workings, right, strict=True):
        sums = (
            pieces(working)[:-1] if working == meant else []
        )  # the last piece says the same once more
        lines.append(
            f"{working.about[0].upper()}{working.about[1:]}: {'. '.join(sums or [str(working)])}."
        )
    return "\n".join(lines)


def _think(worked: Worked, workings: tuple[Working, ...], rng: random.Random, wrong: bool) -> str:
    lines = [rng.choice(_OPENERS)]
    for number, (working, right) in enumerate(zip(workings, worked.workings, strict=True)):
        lead = rng.choice(_NEXT if number else _FIRST)
        sums = [str(working)] if working != right else pieces(working)
        lines.append(f"{lead} {working.about}. " + " ".join(f"{each}." for each in sums))
    last = workings[-1]
    check = rng.choice(_VAGUE) if wrong else f"{_undo(last)}. {rng.choice(_RELIEF)}"
    lines.append(f"{rng.choice(_DOUBTS)} {check}")
    lines.append(rng.choice(_CLOSERS).format(last.result))
    return "\n\n".join(lines)


def pieces(working: Working) -> list[str]:
    """The equations that lead to a step's result, the step itself last. Tens first, then ones."""
    left = working.left
    op = working.op
    right = working.right
    if op in "+-" and left >= 10 and right > 10 and right % 10:
        tens = right - right % 10
        half = calculate(left, op, tens)
        return [
            f"{left} {op} {tens} = {half}",
            f"{half} {op} {right % 10} = {working.result}",
            str(working),
        ]
    if op == "*" and max(left, right) > 10 and max(left, right) % 10:
        small, large = sorted((left, right))
        tens = large - large % 10
        ones = large % 10
        parts = [f"{tens} * {small} = {tens * small}", f"{ones} * {small} = {ones * small}"]
        return [*parts, f"{tens * small} + {ones * small} = {working.result}", str(working)]
    return [str(working)]


def _undo(working: Working) -> str:
    return f"{working.result} {_INVERSE[working.op]} {working.right} = {working.left}"


def _slip(workings: tuple[Working, ...], rng: random.Random) -> tuple[Working, ...]:
    """The steps with one result wrong and every later step built on it; the last result is
    never the right one.
    """
    place = rng.randrange(len(workings))
    changed: dict[int, int] = {}  # right result of an earlier step -> what we think it is
    slipped = []
    for number, working in enumerate(workings):
        left = changed.get(working.left, working.left)
        right = changed.get(working.right, working.right)
        result = calculate(left, working.op, right) or max(1, left // max(1, right))
        last_chance = number == len(workings) - 1 and result == working.result
        if number == place or last_chance:
            result = max(1, working.result + rng.choice((-10, -2, -1, 1, 2, 10)))
            result += 3 if result == working.result else 0
        changed[working.result] = result
        slipped.append(replace(working, left=left, right=right, result=result))
    return tuple(slipped)
