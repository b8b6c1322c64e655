"""A disk that takes no more: the run stops with exit 5, nothing is torn, and it goes on when
there is room.
"""

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generator.process_runs import (
    LONG,
    command,
    configure,
    environment,
    generator,
    rehearsal,
    rows,
)
from tests.small_disk import mounted

BIG = "a long thought. " * 1500  # 24 kB a trace: a small disk is full after some forty


@pytest.fixture
def long_answers(tmp_path: Path) -> tuple[Path, Path]:
    """Problems and a replay file whose answers are long."""
    problems = tmp_path / "problems.jsonl"
    replay = tmp_path / "replay.jsonl"
    problem_rows = [{"problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(80)]
    replay_rows = [
        {"problem": row["problem"], "reasoning": BIG, "response": f"\\boxed{{{row['answer']}}}"}
        for row in problem_rows
    ]
    problems.write_text("".join(json.dumps(row) + "\n" for row in problem_rows))
    replay.write_text("".join(json.dumps(row) + "\n" for row in replay_rows))
    return problems, replay


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The test with a limit on file sizes runs also where this one cannot be mounted."""
    with mounted(tmp_path / "disk", 1) as folder:
        yield folder


def test_a_full_disk_ends_the_run_in_order_and_room_lets_it_go_on(
    tmp_path: Path, small_disk: Path, long_answers: tuple[Path, Path]
) -> None:
    problems, replay = long_answers
    corpus = small_disk / "corpus"
    with rehearsal("--replay", str(replay)) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            corpus=str(corpus),
            problems__source=str(problems),
            problems__answer_field="answer",
            problems__limit=0,
            lane__concurrency=8,
        )
        full = generator("run", config)
        assert full.returncode == 5, full.stderr
        assert "free some space" in full.stderr.splitlines()[-1]
        assert "Traceback" not in full.stderr
        written = rows(corpus)  # a torn line would fail here
        assert 5 < len(written) < 80
        again = generator("run", config)  # still full: still in order
        assert again.returncode == 5, again.stderr
        subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
        on = generator("run", config)
        assert on.returncode == 0, on.stderr
    assert len({row["id"] for row in rows(corpus)}) == len(rows(corpus)) == 80
    assert {row["id"] for row in written} <= {row["id"] for row in rows(corpus)}
    check_result = generator("check", corpus)
    assert check_result.returncode == 0, check_result.stdout


def test_a_shard_that_may_not_grow_ends_the_run_in_order(
    tmp_path: Path, long_answers: tuple[Path, Path]
) -> None:
    problems, replay = long_answers

    def limit_file_sizes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    with rehearsal("--replay", str(replay)) as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__source=str(problems),
            problems__answer_field="answer",
            problems__limit=0,
            lane__concurrency=8,
        )
        full = subprocess.run(
            command("run", config),
            env=environment(measured=False),
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
            preexec_fn=limit_file_sizes,
        )
        assert full.returncode == 5, full.stderr
        assert "Traceback" not in full.stderr
        written = rows(tmp_path / "corpus")
        assert 5 < len(written) < 80
        assert generator("run", config).returncode == 0
    assert (
        len({row["id"] for row in rows(tmp_path / "corpus")})
        == len(rows(tmp_path / "corpus"))
        == 80
    )
    assert generator("check", tmp_path / "corpus").returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_exit_5_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    config = configure(
        tmp_path, "http://127.0.0.1:9/v1", corpus=str(tmp_path / "locked" / "corpus")
    )
    process = generator("run", config)
    assert process.returncode == 5
    assert str(tmp_path / "locked") in process.stderr
