"""`python -m generator import SOURCE CORPUS`: traces made elsewhere become an ordinary corpus.

SOURCE is a file, a folder, a hub data set (`open-r1/OpenR1-Math-220k[:CONFIG]`) or `modelscope:OWNER/NAME[:SUBSET]`.
Rows are read in every shape that `conversations` knows; thinking is split from the answer, the gold is found where
there is one, every answer is graded by the grader that grades our own, and written into sealed shards with
`lane = "import"`. Correct ones go to traces/, all others to rejected/ with their reason. Stopped, the same command goes
on where it was.
"""

import argparse
import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from generator.corpus import Corpus, open_corpus
from generator.importer.conversations import ForeignSample, samples_of
from generator.importer.summary import LISTED_BAD_ROWS, ProgressLine, Summary, _first
from generator.problems import local_path
from generator.problems.evaluation_sets import evaluation_texts, shown_name
from generator.problems.files import column_names, data_files, open_files
from generator.problems.hub import open_hub
from generator.problems.rows import BadRow
from generator.record import utc_now, with_flags
from shared.contamination import EvaluationIndex
from shared.destinations import check_own_folder
from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.grading import grade
from shared.records import Trace, Usage, Verdict, problem_id, trace_id

LANE = "import"


NOTE = "import"  # the ledger's note that says what a corpus was imported from


BATCH_SAMPLES = 256  # graded and written together


CHARACTERS_A_TOKEN = 3.5  # of English mathematics; what is imported has no count of its own


SHARD_ROWS = 2000


SHARD_MEGABYTES = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `import`."""
    parser.add_argument("source", metavar="SOURCE", help="file, folder, hub name, modelscope:NAME")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--split", default="train", help="of a hub data set or a folder")
    parser.add_argument(
        "--keep-unverifiable",
        action="store_true",
        help="answers without a gold to compare with go to traces/ as well",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="SET",
        help="evaluation set to keep out, as problems.exclude: gsm8k:test, MATH-500, FILE.jsonl",
    )
    parser.add_argument("--data", default="", help="folder with local copies of --exclude's sets")
    parser.add_argument("--model", default="", help="what wrote the answers, where no row says it")
    parser.add_argument("--limit", type=int, default=0, help="rows to read; 0: all")


def run(args: argparse.Namespace) -> int:
    """Import; the exit code. Errors: `InputError`, `CannotWrite`."""
    check_own_folder(args.corpus)
    task = Import(
        source=args.source,
        split=args.split,
        exclude=tuple(args.exclude),
        data=args.data,
        model=args.model,
        limit=args.limit,
        keep_unverifiable=args.keep_unverifiable,
    )
    summary = asyncio.run(import_into(args.corpus, task))
    for line in summary.lines(args.corpus):
        print(line)
    return 0


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported, and how: the same twice gives the same rows."""

    source: str
    split: str = "train"
    exclude: tuple[str, ...] = ()
    data: str = ""
    model: str = ""
    limit: int = 0
    keep_unverifiable: bool = False

    def digest(self) -> str:
        """Names the rows and what becomes of them."""
        parts = [self.source, self.split, sorted(self.exclude), self.keep_unverifiable, self.model]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


async def import_into(corpus_path: Path, task: Import) -> Summary:
    """Read, grade and write everything that `task` names. Memory does not grow with the rows.

    Errors: `InputError` for a source that cannot be read or has no row in a known shape, and for a corpus that
    holds something else; `CannotWrite`.
    """
    index = EvaluationIndex(
        {shown_name(name): evaluation_texts(name, task.data) for name in task.exclude}
    )
    rows = open_rows(task)
    corpus = open_corpus(corpus_path, SHARD_ROWS, SHARD_MEGABYTES, finish=with_flags)
    whole = False
    try:
        summary = Summary(samples_before=_samples_before(corpus, task))
        _write_configuration(corpus_path, task)
        await _import_rows(corpus, rows, task, index, summary)
        whole = True
    finally:
        await corpus.close(seal=whole)
    if summary.samples == 0:
        raise InputError(
            f"{task.source}: no row is an answered problem ({_first(summary.bad)}): "
            "`python -m generator import --help` lists the shapes that are read"
        )
    return summary


def open_rows(task: Import) -> Iterator[tuple[str, dict[str, Any]]]:
    """(data set, row) of everything in the source, in its own order. Errors: `InputError`."""
    path = local_path(task.source)
    if path is None:
        rows: Iterable[tuple[str, dict[str, Any]]] = (
            (task.source, row) for row in open_hub(task.source, task.split, None)
        )
    else:
        files, choice_note = data_files(path, task.split if path.is_dir() else "")
        if choice_note:
            print(choice_note)
        _, local_rows = open_files(
            files, lambda row: None, frozenset(column_names(files)), "skip", None
        )
        rows = ((path.stem, row) for _, row in local_rows)
    return islice(iter(rows), task.limit or None)


def _samples_before(corpus: Corpus, task: Import) -> int:
    """How many answers an earlier run of the same import wrote. Errors: `InputError`."""
    count = sum(total.samples for total in corpus.ledger.totals())
    recorded_digest = corpus.ledger.noted(NOTE)
    if (recorded_digest and recorded_digest != task.digest()) or (count and not recorded_digest):
        raise InputError(
            f"{corpus.path}: holds other traces: import into a folder of its own; "
            "a training mixes several (`corpora = [...]`)"
        )
    corpus.ledger.note(NOTE, task.digest())
    corpus.ledger.commit()
    return count


def _write_configuration(corpus: Path, task: Import) -> None:
    facts = {
        "corpus": str(corpus),
        "import": {"source": task.source, "split": task.split, "exclude": list(task.exclude)},
        "problems": {"source": task.source, "exclude": list(task.exclude)},
        "lane": [],
    }
    write_atomically(corpus / "config.json", json.dumps(facts, indent=2).encode())


async def _import_rows(
    corpus: Corpus,
    rows: Iterator[tuple[str, dict[str, Any]]],
    task: Import,
    index: EvaluationIndex,
    summary: Summary,
) -> None:
    samples = _samples(rows, summary)
    for _ in islice(samples, summary.samples_before):
        pass  # written by an earlier run, in this very order
    progress = ProgressLine()
    with ThreadPoolExecutor(os.cpu_count() or 1, "grading") as pool:
        async with asyncio.TaskGroup() as group:
            group.create_task(corpus.keep_writing())
            try:
                while batch := list(islice(samples, BATCH_SAMPLES)):
                    verdicts = await _in_threads(pool, batch, index)
                    await _write(corpus, batch, verdicts, task, summary)
                    progress.show(summary)
            finally:
                corpus.stop_writing()


def _samples(
    rows: Iterator[tuple[str, dict[str, Any]]], summary: Summary
) -> Iterator[ForeignSample]:
    for data_set, row in rows:
        summary.rows += 1
        try:
            samples = list(samples_of(row, data_set))
        except BadRow as error:
            summary.bad_rows += 1
            if len(summary.bad) < LISTED_BAD_ROWS:
                summary.bad.append(f"row {summary.rows:,}: {error}")
            continue
        summary.samples += len(samples)
        yield from samples


async def _in_threads(
    pool: ThreadPoolExecutor, batch: list[ForeignSample], index: EvaluationIndex
) -> list[tuple[Verdict, str]]:
    """(verdict, name of the evaluation set that the problem is copied from or "") of each."""
    loop = asyncio.get_running_loop()
    futures = [loop.run_in_executor(pool, _judge, sample, index) for sample in batch]
    return [await future for future in futures]


def _judge(sample: ForeignSample, index: EvaluationIndex) -> tuple[Verdict, str]:
    copied_from = ""
    if len(index):
        hit = index.find(sample.problem).hit
        copied_from = hit.evaluation if hit is not None and hit.contaminated else ""
    if sample.unclosed:
        return Verdict("truncated", None, "the thinking never ended"), copied_from
    return grade(sample.response, sample.gold, sample.problem), copied_from


async def _write(
    corpus: Corpus,
    batch: list[ForeignSample],
    verdicts: list[tuple[Verdict, str]],
    task: Import,
    summary: Summary,
) -> None:
    ids = [problem_id(sample.problem) for sample in batch]
    counts = {
        id_: len(finished_samples) for id_, finished_samples in corpus.ledger.finished(ids).items()
    }
    async with asyncio.TaskGroup() as group:
        for id_, sample, (verdict, copied_from) in zip(ids, batch, verdicts, strict=True):
            number = counts.get(id_, 0)
            counts[id_] = number + 1
            if copied_from:
                verdict = Verdict("failed", verdict.final_answer, f"a copy of {copied_from}")
                summary.copies += 1
            is_kept = verdict.verdict == "correct" or (
                task.keep_unverifiable and verdict.verdict == "unverifiable"
            )
            summary.verdicts[verdict.verdict] += 1
            if is_kept:
                summary.kept += 1
            trace = _trace(id_, number, sample, verdict, task.model)
            group.create_task(corpus.add(trace, is_kept))


def _trace(id_: str, number: int, sample: ForeignSample, verdict: Verdict, model: str) -> Trace:
    now = utc_now()
    characters = len(sample.reasoning) + len(sample.response)
    usage = Usage(
        prompt_tokens=round(len(sample.problem) / CHARACTERS_A_TOKEN),
        completion_tokens=round(characters / CHARACTERS_A_TOKEN),
        reasoning_tokens=round(len(sample.reasoning) / CHARACTERS_A_TOKEN),
        estimated=True,
    )
    return Trace(
        id=trace_id(id_, number),
        problem_id=id_,
        sample=number,
        source=sample.source,
        problem=sample.problem,
        gold=sample.gold,
        messages=list(sample.messages),
        reasoning=sample.reasoning,
        response=sample.response,
        final_answer=verdict.final_answer,
        verdict=verdict.verdict,
        reason=" ".join(verdict.reason.split()),
        checked_by=verdict.checked_by,
        finish_reason="cut" if sample.unclosed else "stop",
        lane=LANE,
        model=sample.model or model or "unknown",
        model_returned=sample.model or model or "unknown",
        params={},
        usage=usage,
        cost_usd=0.0,
        timing={"first_token_seconds": None, "total_seconds": None},
        attempts=0,
        started_at=now,
        finished_at=now,
    )
