"""Is the next quota better spent near what the student fails? A round of `weak` where a few kinds
of problem are rare.

    python -m benchmarks.effect.weak_kinds --model .cache/models/smollm2-135m --out weak-kinds.jsonl

Of the problems 85% are of six easy families, 15% of twelve harder ones. A student learns from 1,000
traces of that mixture and answers 300 fresh problems. 600 problems more are taken from a pool of
6,000: the nearest neighbours of what it failed (`evaluation.neighbours`, as `python -m evaluation
weak` does), or at random. Student and arms are judged on 1,000 problems that nobody has seen, each
over several seeds; all train for the same number of steps.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.effect import training
from benchmarks.effect.corpora import Corpus, Question, digest, turn
from benchmarks.effect.judging import is_right
from benchmarks.effect.training import Codec, Setting
from evaluation.neighbours import nearest
from generator.arithmetic import draw
from generator.arithmetic.families import FAMILIES, FIRST_STEPS
from generator.rehearsal import solver
from shared.prompts import training_messages
from shared.records import Message

RARE = 0.15  # share of the harder families
COMMON_NAMES = {family.name for family in FIRST_STEPS}
HARDER = tuple(family for family in FAMILIES if family.name not in COMMON_NAMES)
STUDENT, EXAMINED, POOL, TAKEN, JUDGED = 1000, 300, 6000, 600, 1000
STEPS, RATE = 300, 2e-3  # `learning_rate = "auto"` at this size
NEIGHBOURS = 32  # of each failed problem; the first `TAKEN` by rank are taken
NEW_TOKENS = 160
ARMS = ("no more", "at random", "near what it failed")


@dataclass(frozen=True, slots=True)
class Problem:
    question: Question
    rare: bool


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of SmolLM2-135M-Instruct")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON Lines: one line a seed and arm"
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument(
        "--token-budget", type=int, default=32_768, help="tokens in one forward pass of training"
    )
    parser.add_argument(
        "--answers-at-once", type=int, default=2400, help="rows of one batch of answers"
    )
    parser.add_argument(
        "--shrink", type=int, default=1, help="divide all counts, to try the script"
    )
    given = parser.parse_args(argv)
    started = time.monotonic()
    seeds = range(given.seeds)
    sizes = [size // given.shrink for size in (EXAMINED, JUDGED, STUDENT, POOL, TAKEN)]
    fresh = problems("judge", set())
    examined, judged = (list(islice(fresh, size)) for size in sizes[:2])
    known = {problem.question.text for problem in [*examined, *judged]}
    streams = [problems(f"seed {seed}", known) for seed in seeds]
    students = [list(islice(stream, sizes[2])) for stream in streams]
    pools = [list(islice(stream, sizes[3])) for stream in streams]

    marks = learn(students, list(seeds), examined, given)
    failed = [
        [p.question.text for p, right in zip(examined, own, strict=True) if not right]
        for own in marks
    ]
    arms = [(seed, arm) for seed in seeds for arm in ARMS]
    more = [chosen(arm, seed, pools[seed], failed[seed], sizes[4]) for seed, arm in arms]
    corpora = [students[seed] + taken for (seed, _), taken in zip(arms, more, strict=True)]
    marks = learn(corpora, [seed for seed, _ in arms], judged, given)

    rare = [number for number, problem in enumerate(judged) if problem.rare]
    for (seed, arm), taken, corpus, right in zip(arms, more, corpora, marks, strict=True):
        line = {
            "seed": seed,
            "arm": arm,
            "failed": len(failed[seed]),
            "examined": len(examined),
            "more": len(taken),
            "more_rare": sum(problem.rare for problem in taken),
            "asked": len(judged),
            "right": sum(right),
            "asked_rare": len(rare),
            "right_rare": sum(right[number] for number in rare),
            "data": digest(traces(corpus)),
            "steps": STEPS // given.shrink,
            "marks": "".join("01"[ok] for ok in right),
        }
        with given.out.open("a") as out:
            out.write(json.dumps(line) + "\n")
        print({key: value for key, value in line.items() if key != "marks"}, flush=True)
    print(f"{time.monotonic() - started:.0f} s")
    return 0


def problems(name: str, known: Set[str]) -> Iterator[Problem]:
    """The mixture without end, each text once and none that is known."""
    rng, seen = random.Random(f"weak-kinds:{name}"), set(known)
    while True:
        rare = rng.random() < RARE
        text, answer = draw(rng, HARDER if rare else FIRST_STEPS)
        if text not in seen:
            seen.add(text)
            yield Problem(Question(text, str(answer)), rare)


def chosen(
    arm: str, seed: int, pool: Sequence[Problem], failed: Sequence[str], count: int
) -> list[Problem]:
    """What one arm takes of the pool."""
    if arm == "no more":
        return []
    if arm == "at random":
        return random.Random(seed).sample(pool, count)
    by_text = {problem.question.text: problem for problem in pool}
    found = nearest(
        failed, lambda: [problem.question for problem in pool], NEIGHBOURS, lambda _: False
    )
    return [by_text[neighbour.text] for neighbour in islice(found, count)]


def traces(corpus: Sequence[Problem]) -> list[list[Message]]:
    """What a teacher who is always right answers, in few words."""
    rows = []
    for text in (problem.question.text for problem in corpus):
        reasoning, response = solver.solve(text, random.Random(text), voice="brief")
        rows.append(training_messages(turn(text)[0]["content"], reasoning, response))
    return rows


def learn(
    corpora: Sequence[Sequence[Problem]],
    seeds: Sequence[int],
    asked: Sequence[Problem],
    given: argparse.Namespace,
) -> list[list[bool]]:
    """Train one student a corpus, all side by side: [students][asked], whether each answer is
    right.
    """
    steps = STEPS // given.shrink
    settings = [
        Setting(f"student {seed}", Corpus(), RATE, steps=steps, seed=seed) for seed in seeds
    ]
    codec = Codec(AutoTokenizer.from_pretrained(given.model))
    rows = [[codec.row(messages) for messages in traces(corpus)] for corpus in corpora]
    model: Any = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.bfloat16)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    model, _ = training.train_many(model, settings, rows, codec.end, given.token_budget)
    print(f"{len(settings)} students trained", flush=True)
    questions = [problem.question for problem in asked]
    said = training.answer(
        model, codec, questions, len(settings), NEW_TOKENS, given.answers_at_once
    )
    return [[is_right(q, answer) for q, answer in zip(questions, own, strict=True)] for own in said]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
