"""The rehearsal teacher's mind: it reads a word problem, does the arithmetic aloud and boxes the
answer.

The voice is R1's ("Wait, let me check") or `brief`, the steps alone; the sums are broken into
pieces that a small student can learn; and `wrong` makes it slip once, so that the filter has
something to find.
"""

import random
from dataclasses import replace
from typing import Literal

from generator.arithmetic import Solution, SolvedStep, calculate, read

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
# (reasoning, response) for a problem that no family recognises
UNKNOWN_KIND = (
    "Okay, let me read the problem again. It is not of a kind that I was built for, so I should"
    " not guess.",
    "I am the rehearsal teacher and cannot solve this problem. I know only the synthetic word"
    " problems.",
)


def solve(
    prompt: str, rng: random.Random, wrong: bool = False, voice: Voice = "r1"
) -> tuple[str, str]:
    """(reasoning, response) for the problem in `prompt`. An unknown kind of problem gets no box."""
    solution = read(prompt)
    if solution is None:
        return UNKNOWN_KIND
    steps = _slip(solution.steps, rng) if wrong else solution.steps
    answer = steps[-1].result
    if voice == "brief":
        return _recite(steps, solution.steps), f"The answer is \\boxed{{{answer}}}."
    conclusion = solution.conclusion
    if wrong:
        conclusion = conclusion.replace(str(solution.answer), str(answer))
    lines = [f"{_capital(step.about)}: {step}" for step in steps]
    response = "\n".join([*lines, "", f"{conclusion} \\boxed{{{answer}}}"])
    return _think(solution, steps, rng, wrong), response


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _recite(steps: tuple[SolvedStep, ...], right_steps: tuple[SolvedStep, ...]) -> str:
    """One line a step: "The plums left: 59 - 30 = 29." """
    lines = []
    for step, right_step in zip(steps, right_steps, strict=True):
        # the last piece says the same once more
        equations = pieces(step)[:-1] if step == right_step else []
        text = ". ".join(equations or [str(step)])
        lines.append(f"{_capital(step.about)}: {text}.")
    return "\n".join(lines)


def _think(
    solution: Solution, steps: tuple[SolvedStep, ...], rng: random.Random, wrong: bool
) -> str:
    lines = [rng.choice(_OPENERS)]
    for number, (step, right_step) in enumerate(zip(steps, solution.steps, strict=True)):
        lead = rng.choice(_NEXT if number else _FIRST)
        equations = pieces(step) if step == right_step else [str(step)]
        text = " ".join(f"{equation}." for equation in equations)
        lines.append(f"{lead} {step.about}. {text}")
    last_step = steps[-1]
    check = rng.choice(_VAGUE) if wrong else f"{_undo(last_step)}. {rng.choice(_RELIEF)}"
    lines.append(f"{rng.choice(_DOUBTS)} {check}")
    lines.append(rng.choice(_CLOSERS).format(last_step.result))
    return "\n\n".join(lines)


def pieces(step: SolvedStep) -> list[str]:
    """The equations that lead to a step's result, the step itself last. Tens first, then ones."""
    a = step.left_operand
    b = step.right_operand
    op = step.op
    if op in "+-" and a >= 10 and b > 10 and b % 10:
        ones = b % 10
        tens = b - ones
        half = calculate(a, op, tens)
        return [f"{a} {op} {tens} = {half}", f"{half} {op} {ones} = {step.result}", str(step)]
    if op == "*" and max(a, b) > 10 and max(a, b) % 10:
        small, large = sorted((a, b))
        ones = large % 10
        tens = large - ones
        parts = [f"{tens} * {small} = {tens * small}", f"{ones} * {small} = {ones * small}"]
        return [*parts, f"{tens * small} + {ones * small} = {step.result}", str(step)]
    return [str(step)]


def _undo(step: SolvedStep) -> str:
    return f"{step.result} {_INVERSE[step.op]} {step.right_operand} = {step.left_operand}"


def _slip(steps: tuple[SolvedStep, ...], rng: random.Random) -> tuple[SolvedStep, ...]:
    """The steps with one result wrong and every later step built on it; the last result is
    never the right one.
    """
    place = rng.randrange(len(steps))
    believed_results: dict[int, int] = {}  # by the right result of the same step
    wrong_steps = []
    for number, step in enumerate(steps):
        a = believed_results.get(step.left_operand, step.left_operand)
        b = believed_results.get(step.right_operand, step.right_operand)
        result = calculate(a, step.op, b) or max(1, a // max(1, b))
        is_last_chance = number == len(steps) - 1 and result == step.result
        if number == place or is_last_chance:
            result = max(1, step.result + rng.choice((-10, -2, -1, 1, 2, 10)))
            if result == step.result:
                result += 3
        believed_results[step.result] = result
        wrong_steps.append(replace(step, left_operand=a, right_operand=b, result=result))
    return tuple(wrong_steps)
