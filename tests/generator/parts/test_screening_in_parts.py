"""A screening in pieces decides what one process decides, to the byte."""

import contextlib
import gzip
import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generator.config import ProblemsConfig, ScreeningConfig
from generator.intake import Intake
from generator.parts.local import LocalWorkers, WorkerLost
from generator.parts.tasks import Task
from shared.errors import InputError
from tests.generator.process_runs import eventually

pytestmark = pytest.mark.process  # the product's own workers

EVALUATION = {"eval": ["A farmer has 17 cows and buys 5 more of them. How many cows has he now?"]}


def made_up_rows(count: int) -> list[dict[str, str]]:
    draw = random.Random(3)
    rows = []
    for number in range(count):
        a = draw.randrange(1000)
        text = f"Tom has {a} apples and {number} pears in his garden. How many fruits has Tom got?"
        rows.append({"problem": text, "answer": str(a + number)})
    rows += [dict(row, problem=row["problem"].upper()) for row in rows[::9]]  # exact but for style
    rows += [dict(row, problem=row["problem"] + " Tell us.") for row in rows[::7]]  # near
    rows += rows[::11]  # word for word
    rows.append(
        {
            "problem": "A farmer has 17 cows and buys 5 more of them. How many cows has he now, say?",
            "answer": "22",
        }
    )
    draw.shuffle(rows)
    return rows


def lines_of(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of file that a data set may have."""
    folder = tmp_path_factory.mktemp("data")
    rows = made_up_rows(700)
    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines_of(rows[:300]))
    (folder / "b.jsonl").write_bytes(lines_of(rows[300:400]).replace(b"\n", b"\n\n").rstrip())
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines_of(rows[400:500])))
    (folder / "d.jsonl").touch()
    table = pa.Table.from_pylist(rows[500:])
    pq.write_table(table, folder / "e.parquet", row_group_size=37)
    return folder


def intake_of(data: Path, corpus: Path, **keys: Any) -> Intake:
    problems = ProblemsConfig(source=str(data), split="all", **keys)
    return Intake(problems, ScreeningConfig(), corpus, evaluation=EVALUATION)


def files_of(corpus: Path) -> dict[str, bytes]:
    folder = corpus / "screening"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("pieces", [1, 2, 7, 64])
def test_any_division_in_any_order_leaves_out_what_one_process_does(
    data: Path, tmp_path: Path, pieces: int
) -> None:
    intake_of(data, tmp_path / "one").screen_local()
    intake = intake_of(data, tmp_path / "parts")
    assert intake.begin_pieces()
    order = list(range(pieces))
    random.Random(pieces).shuffle(order)
    for piece in order:
        assert piece in intake.missing_pieces(pieces)
        intake.screen_piece(piece, pieces)
        intake.screen_piece(piece, pieces)  # again at will
    intake.settle_pieces(pieces)
    summary = intake.screening.summary
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "one")
    assert summary.left_out["duplicate"] > 50
    assert summary.left_out["near-duplicate"] > 20
    assert summary.left_out["copy of an evaluation problem"] == 1
    assert not intake_of(data, tmp_path / "parts").begin_pieces()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda rows: rows.insert(401, b'{"problem": }\n'), r"a\.jsonl:402: not JSON"),
        (lambda rows: rows.insert(77, b'{"answer": "3"}\n'), r"a\.jsonl:78: no field 'problem'"),
    ],
)
def test_a_bad_line_is_named_by_its_number_in_the_file(
    tmp_path: Path, break_it: Callable[[list[bytes]], None], message: str
) -> None:
    rows = lines_of(made_up_rows(400)).splitlines(keepends=True)
    break_it(rows)
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows))
    intake = intake_of(tmp_path / "a.jsonl", tmp_path / "corpus")
    intake.begin_pieces()
    refusals = []
    for piece in range(5):
        try:
            intake.screen_piece(piece, 5)
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) == 1
    assert re.search(message, refusals[0])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"answer_field": "anwser"}, "no row of .* has a field 'anwser'; did you mean|anwser"),
        ({"only_sources": ("olympiads",)}, "no row of .* has source 'olympiads'"),
    ],
)
def test_what_the_scan_of_one_process_refuses_the_pieces_refuse(
    data: Path, tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    intake = intake_of(data, tmp_path / "corpus", **keys)
    intake.begin_pieces()
    for piece in range(3):
        intake.screen_piece(piece, 3)
    with pytest.raises(InputError, match=message):
        intake.settle_pieces(3)


def test_pieces_of_other_data_are_done_anew(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(lines_of(made_up_rows(100)))
    intake = intake_of(source, tmp_path / "corpus")
    intake.begin_pieces()
    intake.screen_piece(0, 2)
    source.write_bytes(lines_of(made_up_rows(120)))
    intake = intake_of(source, tmp_path / "corpus")
    intake.begin_pieces()
    assert intake.missing_pieces(2) == [0, 1]


@pytest.fixture
def evaluation_file(tmp_path: Path) -> str:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(EVALUATION))
    return str(path)


def screening_tasks(data: Path, corpus: Path, evaluation: str, pieces: int) -> list[Task]:
    values = {
        "problems": ProblemsConfig(source=str(data), split="all").model_dump(mode="json"),
        "screening": ScreeningConfig().model_dump(mode="json"),
        "corpus": str(corpus),
        "needs_gold": False,
        "evaluation": evaluation,
    }
    return [
        Task("screen", piece, {**values, "piece": piece, "pieces": pieces})
        for piece in range(pieces)
    ]


def kill_while_busy(workers: LocalWorkers, kills: int) -> threading.Thread:
    """Kill the first worker so often while it has a task."""

    def kill() -> None:
        killed_pids: set[int] = set()
        while len(killed_pids) < kills:
            pid = workers.pids[0] if workers.pids else 0
            if pid and pid not in killed_pids and workers.busy(pid):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
                    killed_pids.add(pid)
            time.sleep(0.002)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_a_killed_worker_is_named_and_its_piece_done_again(
    tmp_path: Path, evaluation_file: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(lines_of(made_up_rows(9000)))
    intake_of(source, tmp_path / "one").screen_local()
    intake = intake_of(source, tmp_path / "parts")
    intake.begin_pieces()
    lines: list[str] = []
    with LocalWorkers(2, lines.append) as workers:
        killer = kill_while_busy(workers, 1)
        tasks = screening_tasks(source, tmp_path / "parts", evaluation_file, 4)
        done_numbers = {task.number for task, _ in workers.outcomes(tasks)}
        killer.join(10)
    intake.settle_pieces(4)
    assert done_numbers == {0, 1, 2, 3}
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "one")
    assert len(lines) == 1
    assert "ended by SIGKILL: the part is done again" in lines[0]


def test_a_piece_that_ends_every_worker_is_given_up_by_name(
    tmp_path: Path, evaluation_file: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(lines_of(made_up_rows(60_000)))
    intake_of(source, tmp_path / "parts").begin_pieces()
    lines: list[str] = []
    with LocalWorkers(1, lines.append) as workers:
        kill_while_busy(workers, 3)
        tasks = screening_tasks(source, tmp_path / "parts", evaluation_file, 1)
        with pytest.raises(WorkerLost, match="part 0: 3 workers ended over it"):
            list(workers.outcomes(tasks))
    assert [line.rpartition(" ")[2] for line in lines] == ["again", "again", "up"]


def test_what_a_task_raises_is_raised_where_it_was_started(
    tmp_path: Path, evaluation_file: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"problem": }\n')
    with LocalWorkers(1) as workers:
        tasks = screening_tasks(source, tmp_path / "parts", evaluation_file, 1)
        with pytest.raises(InputError, match=r"a\.jsonl:1: not JSON"):
            list(workers.outcomes(tasks))
        eventually(lambda: workers.pids, "a worker that is still there")
