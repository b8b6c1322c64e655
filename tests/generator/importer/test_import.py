"""Importing as a command: an ordinary corpus comes out, a killed import goes on, bad sources are one line."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from generator.corpus import check
from shared.records import Trace, read_traces
from tests.generator.process_runs import generator, started

TEXT = "<think>\n{a} and {b}.\n</think>\n\nIt is \\boxed{{{c}}}."


def row(number: int, wrong: bool = False, gold: bool = True) -> dict[str, Any]:
    a = number
    b = 2 * number
    answer = TEXT.format(a=a, b=b, c=a + b + (1 if wrong else 0))
    question = f"What is {a} plus {b}?\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **({"answer": str(a + b)} if gold else {})}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def imported(*arguments: object) -> subprocess.CompletedProcess[str]:
    return generator("import", *map(str, arguments))


def rejected(corpus: Path) -> list[Trace]:
    files = sorted((corpus / "rejected").glob("*.jsonl"))
    return [
        Trace.from_row(json.loads(line)) for file in files for line in file.read_text().splitlines()
    ]


def test_a_foreign_file_becomes_a_sealed_corpus_with_grades(tmp_path: Path) -> None:
    rows = [row(n, wrong=n % 10 == 0) for n in range(1, 101)]
    rows += [row(500, gold=False), {"text": "no shape"}]
    source = write_rows(tmp_path / "foreign.jsonl", rows)
    process = imported(source, tmp_path / "corpus")
    assert process.returncode == 0, process.stderr
    assert "102 rows read: 101 answers, 90 kept" in process.stdout
    assert "rows that are no answered problem: 1" in process.stdout
    traces = list(read_traces(str(tmp_path / "corpus")))
    assert len(traces) == 90
    assert {trace.lane for trace in traces} == {"import"}
    assert all(trace.usage.estimated and trace.usage.completion_tokens for trace in traces)
    assert traces[0].problem == "What is 1 plus 2?"
    assert traces[0].reasoning == "1 and 2."
    verdicts = [trace.verdict for trace in rejected(tmp_path / "corpus")]
    assert sorted(verdicts) == ["incorrect"] * 10 + ["unverifiable"]
    assert not check(tmp_path / "corpus").faults
    assert not list((tmp_path / "corpus").glob("*/*.open"))


def test_unverifiable_answers_are_kept_on_purpose(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "foreign.jsonl", [row(n, gold=False) for n in range(1, 4)])
    assert imported(source, tmp_path / "corpus", "--keep-unverifiable").returncode == 0
    assert len(list(read_traces(str(tmp_path / "corpus")))) == 3


def test_copies_of_an_evaluation_set_are_rejected_with_its_name(tmp_path: Path) -> None:
    problem = (
        "A train leaves the station at noon with 120 passengers, and at each of its five stops "
        "seven passengers get off and three get on. How many passengers are on the train at last?"
    )
    foreign = {"problem": problem, "response": "\\boxed{100}", "answer": "100"}
    source = write_rows(tmp_path / "foreign.jsonl", [foreign, row(1)])
    exam = write_rows(tmp_path / "exam.jsonl", [{"problem": problem, "answer": "100"}])
    process = imported(source, tmp_path / "corpus", "--exclude", exam)
    assert "copies of evaluation problems, rejected: 1" in process.stdout
    (copy,) = rejected(tmp_path / "corpus")
    assert "a copy of" in copy.reason
    assert "exam" in copy.reason


def test_several_answers_to_one_problem_are_its_samples(tmp_path: Path) -> None:
    generations = [TEXT.format(a=1, b=2, c=c) for c in (3, 3, 4)]
    foreign = {"problem": "What is 1 plus 2?", "answer": "3", "generations": generations}
    source = write_rows(tmp_path / "foreign.jsonl", [foreign, foreign])
    assert imported(source, tmp_path / "corpus").returncode == 0
    ids = [trace.id for trace in read_traces(str(tmp_path / "corpus"))]
    ids += [trace.id for trace in rejected(tmp_path / "corpus")]
    assert sorted(int(each.split(":")[1]) for each in ids) == [0, 1, 2, 3, 4, 5]


def test_a_killed_import_goes_on_and_gives_what_an_undisturbed_one_gives(tmp_path: Path) -> None:
    rows = [row(n, wrong=n % 3 == 0) for n in range(1, 6001)]
    source = write_rows(tmp_path / "foreign.jsonl", rows)
    assert imported(source, tmp_path / "whole").returncode == 0
    corpus = tmp_path / "killed"
    for _ in range(3):
        with started("import", source, corpus) as process:
            before = _lines(corpus)
            while process.poll() is None and _lines(corpus) < before + 500:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    ended = imported(source, corpus)
    assert ended.returncode == 0, ended.stderr
    assert "had been imported before" in ended.stdout
    assert not check(corpus).faults
    facts = [_facts(list(read_traces(str(each)))) for each in (tmp_path / "whole", corpus)]
    assert facts[0] == facts[1]
    assert _facts(rejected(corpus)) == _facts(rejected(tmp_path / "whole"))
    again = imported(source, corpus)
    assert "0 kept in this run (nothing new)" in again.stdout


def _lines(corpus: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in corpus.glob("*/shard-*"))


def _facts(traces: list[Trace]) -> set[tuple[str, str, str]]:
    return {(trace.id, trace.verdict, trace.response) for trace in traces}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"text": "no shape"}\n', "no row is an answered problem"),
        ("", "no row is an answered problem (it is empty)"),
        (None, "no such file or folder"),
    ],
)
def test_a_source_that_cannot_be_imported_is_one_line(
    tmp_path: Path, content: str | None, why: str
) -> None:
    source = tmp_path / "foreign.jsonl"
    if content is not None:
        source.write_text(content)
    process = imported(source, tmp_path / "corpus")
    assert process.returncode == 2
    assert why in process.stderr
    assert "Traceback" not in process.stderr


def test_a_corpus_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    first_source = write_rows(tmp_path / "first.jsonl", [row(1)])
    second_source = write_rows(tmp_path / "second.jsonl", [row(2)])
    assert imported(first_source, tmp_path / "corpus").returncode == 0
    process = imported(second_source, tmp_path / "corpus")
    assert process.returncode == 2
    assert "holds other traces" in process.stderr
    assert len(list(read_traces(str(tmp_path / "corpus")))) == 1
