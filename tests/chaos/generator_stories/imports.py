"""Traces made elsewhere that become a corpus."""

import json
import re

from tests.chaos import corpus_reader
from tests.chaos.corpus_promises import CorpusPromises
from tests.chaos.generation import DONE
from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import Story

ANSWERS = 2  # of each problem: the first is right, the second is not
IMPORTED = re.compile(r"Imported problem (\d+):")


@kind("generator", share=1)
def killed_imports(story: Story) -> None:
    """`import` is killed while it reads, grades and writes; given again each answer stands once."""
    promises = CorpusPromises(story, story.folder / "corpus")
    source = story.folder / "elsewhere.jsonl"
    count = story.rng.randint(2500, 6000)
    source.write_text("".join(_row(number) for number in range(count)), encoding="utf-8")
    words = ["import", source, promises.corpus]
    for _ in range(story.rng.randint(2, 5)):
        process = story.start("generator", *words)
        _wait_for_lines(promises, process, story.rng.randint(0, ANSWERS * count // 4))
        story.kill(process)
        story.no_traceback(process)
        promises.look()
    story.end(story.start("generator", *words), {DONE}, "last import")
    promises.complete(whole=False)
    _is_the_source(promises, count)
    promises.look()
    story.end(story.start("generator", *words), {DONE}, "import of what is there")
    promises.complete(whole=False)
    _is_the_source(promises, count)


def _row(number: int) -> str:
    problem = f"Imported problem {number}: how many are {number} and {2 * number}?"
    texts = [_text(number, answer) for answer in range(ANSWERS)]
    row = {"problem": problem, "answer": str(3 * number), "generations": texts}
    return json.dumps(row) + "\n"


def _text(number: int, answer: int) -> str:
    return f"<think>\n{_thought(number, answer)}\n</think>\n\n\\boxed{{{3 * number + answer}}}"


def _thought(number: int, answer: int) -> str:
    return f"Thought {answer} of problem {number}."


def _wait_for_lines(promises: CorpusPromises, process: Process, more: int) -> None:
    """Until so many rows stand there; a random moment of the writing, or none of it."""
    bytes_before = _written_bytes(promises)
    row_bytes = 900  # about
    promises.story.until(
        lambda: _written_bytes(promises) >= bytes_before + row_bytes * more, process
    )


def _written_bytes(promises: CorpusPromises) -> int:
    return sum(path.stat().st_size for path in promises.corpus.glob("*/shard-*"))


def _is_the_source(promises: CorpusPromises, count: int) -> None:
    """Each answer stands once, in its pile, with its thinking."""
    rows = corpus_reader.read(promises.corpus).rows()
    if len(rows) != ANSWERS * count:
        promises.story.violation(f"{len(rows)} rows of {ANSWERS * count} answers")
    for pile, row in rows:
        match = IMPORTED.search(row["problem"])
        number = int(match[1]) if match else -1
        right_pile = "rejected" if row["sample"] else "traces"
        thought = _thought(number, row["sample"])
        if (pile, row["reasoning"].strip()) != (right_pile, thought):
            promises.story.violation(f"{row['id']} in {pile}: {row['reasoning'][:80]!r}")
            return
