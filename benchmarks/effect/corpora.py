"""The corpora that are compared, made on the spot from their seed, and the problems that judge."""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from shared.prompts import PRESETS, messages_for, training_messages
from shared.records import Message

Voice = Literal["r1", "brief", "mixed"]
HELD_OUT_SEED = 1_000_003


class Question(NamedTuple):
    """A problem that judges, with its gold answer."""

    text: str
    gold: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus by its recipe: the same recipe gives the same rows."""

    problems: int = 2000  # asked of the teacher; GSM8K: 0 is all
    samples: int = 1
    wrong: float = 0.0  # rate at which the teacher errs
    filtered: bool = True  # wrong answers are left out, as the generator does
    voice: Voice = "r1"
    kind: str = "arithmetic"  # a synthetic source, "gsm8k", or "arithmetic+gsm8k"
    seed: int = 0


def conversations(corpus: Corpus, gsm8k: Path | None) -> list[list[Message]]:
    """The corpus as chat messages, in the order in which the teacher answered."""
    rows = []
    if corpus.kind != "gsm8k":
        rows += _synthetic(corpus)
    if "gsm8k" in corpus.kind:
        rows += _gsm8k(corpus, gsm8k)
    return rows


def digest(rows: list[list[Message]]) -> str:
    """First 16 hex digits of SHA-256 over the corpus as JSON lines."""
    return hashlib.sha256("\n".join(json.dumps(row) for row in rows).encode()).hexdigest()[:16]


def held_out(kind: str, count: int, gsm8k: Path | None) -> list[Question]:
    """`count` problems (0: all there are) that no corpus of this kind contains."""
    if kind == "gsm8k":
        rows = [json.loads(line) for line in _file(gsm8k, "test.jsonl").read_text().splitlines()]
        questions = [
            Question(row["question"], row["answer"].rpartition("####")[2].strip()) for row in rows
        ]
        return questions[: count or None]
    from generator.problems import synthetic

    known = {text for text, _ in islice(synthetic.problems(0, kind), 20_000)}
    fresh = (
        Question(*drawn)
        for drawn in synthetic.problems(HELD_OUT_SEED, kind)
        if drawn[0] not in known
    )
    return list(islice(fresh, count))


def turn(question: str) -> list[Message]:
    """The messages that ask a problem, in training and in judging alike."""
    return messages_for(question, "", PRESETS["r1"].prompt)


def _synthetic(corpus: Corpus) -> list[list[Message]]:
    from generator.problems import (
        synthetic,
    )  # not at the top: the loop's own tests need no generator
    from generator.rehearsal import solver

    rows = []
    kind = corpus.kind.partition("+")[0]
    for number, (text, gold) in enumerate(
        islice(synthetic.problems(corpus.seed, kind), corpus.problems)
    ):
        for sample in range(corpus.samples):
            rng = random.Random(f"effect:{corpus.seed}:{number}:{sample}")
            wrong = rng.random() < corpus.wrong
            brief = corpus.voice == "brief" or (corpus.voice == "mixed" and rng.random() < 0.5)
            reasoning, response = solver.solve(text, rng, wrong, "brief" if brief else "r1")
            if corpus.filtered and f"\\boxed{{{gold}}}" not in response:
                continue
            rows.append(training_messages(turn(text)[0]["content"], reasoning, response))
    return rows


def _gsm8k(corpus: Corpus, folder: Path | None) -> list[list[Message]]:
    """GSM8K's own worked solutions as reasoning, without its calculator marks (`<<48/2=24>>`).

    Beside synthetic problems, at most twice as many of GSM8K's.
    """
    limit = corpus.problems if corpus.kind == "gsm8k" else 2 * corpus.problems
    rows = []
    for line in islice(_file(folder, "train.jsonl").open(), limit or None):
        row = json.loads(line)
        solution, _, gold = row["answer"].rpartition("####")
        reasoning = re.sub(r"<<.*?>>", "", solution).strip()
        response = f"The answer is \\boxed{{{gold.strip()}}}."
        rows.append(training_messages(turn(row["question"])[0]["content"], reasoning, response))
    return rows


def _file(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise SystemExit(
            "--gsm8k FOLDER is needed: a folder with GSM8K's train.jsonl and test.jsonl"
        )
    return folder / name
