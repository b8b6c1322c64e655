"""kill -9 at five moments, and the orderly stop."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.evaluation.conftest import (
    Endpoint,
    Reply,
    Script,
    number_of,
    rows_of,
    write_config,
    write_problems,
)
from tests.preloaded_programs import Process, start_program
from tests.small_disk import mounted

Serve = Callable[[Script], Endpoint]
Start = Callable[[Path], Process]
ROOT = Path(__file__).parents[2]
BATCH = 4  # as in write_config: calls in flight


def scripted(problem: str, model: str, _: int) -> Reply:
    number = number_of(problem)
    good = number % (2 if model == "base" else 3) > 0
    return {"text": f"so \\boxed{{{number if good else -1}}}", "seconds": 0.01}


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts runs in processes of their own; what still runs after the test is killed."""
    running: list[Process] = []
    yield lambda config: running.append(started(config)) or running[-1]  # type: ignore[func-returns-value]
    for process in running:
        if process.poll() is None:
            process.kill()
        if process.stderr is not None and not process.stderr.closed:
            process.communicate()


def started(config: Path) -> Process:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return start_program("evaluation", ["run", str(config)], environment)


def wait_for(condition: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + 240
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def cached_questions_of(out: Path) -> set[tuple[str, str]]:
    """(model, problem) of every whole line in the caches."""
    questions = set()
    for model in ("base", "tuned"):
        cache_file = out / model / "p/answers.jsonl"
        lines = cache_file.read_bytes().splitlines(keepends=True) if cache_file.exists() else []
        questions |= {
            (model, json.loads(line)["problem"]) for line in lines if line.endswith(b"\n")
        }
    return questions


@pytest.mark.timeout(900)  # seven starts, on a machine that may be busy
def test_killed_at_five_moments_a_run_ends_with_the_same_result_and_asks_nothing_twice(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    endpoint = serve(scripted)
    problems = write_problems(tmp_path / "p.jsonl", 100)  # for two models: 200 to answer
    config = write_config(
        tmp_path / "c.toml", endpoint, ["base", "tuned"], str(problems), max_new_tokens=64
    )
    for moment in (1, 40, 97, 120, 199):
        process = start(config)
        wait_for(lambda moment=moment: sum(endpoint.answered.values()) >= moment, process)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "out/comparison.json").exists()
        cached_questions = cached_questions_of(tmp_path / "out")
        asked_before = {question: endpoint.asked[question] for question in cached_questions}
    process = start(config)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert all(endpoint.asked[question] == count for question, count in asked_before.items())
    assert sum(endpoint.asked.values()) - 200 <= 5 * BATCH  # only calls in flight are asked again
    for model in ("base", "tuned"):
        rows = rows_of(tmp_path / "out" / model / "p/answers.jsonl")
        assert len(rows) == len({row["id"] for row in rows}) == 100

    numbers = range(100)
    entry = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]
    assert entry["base"]["correct"] == sum(i % 2 > 0 for i in numbers)
    assert entry["tuned"]["correct"] == sum(i % 3 > 0 for i in numbers)
    assert entry["fixed"] == sum(i % 2 == 0 and i % 3 > 0 for i in numbers)
    assert entry["broken"] == sum(i % 2 > 0 and i % 3 == 0 for i in numbers)


@pytest.mark.parametrize(
    "copies", [1, 2]
)  # `make` hands on to its child the SIGTERM that the whole group got
def test_one_sigterm_stops_in_order_and_the_same_command_goes_on(
    serve: Serve, start: Start, tmp_path: Path, copies: int
) -> None:
    endpoint = serve(
        lambda problem, *_: {"text": f"\\boxed{{{number_of(problem)}}}", "seconds": 0.05}
    )
    problems = write_problems(tmp_path / "p.jsonl", 100)
    config = write_config(tmp_path / "c.toml", endpoint, ["base"], str(problems), max_new_tokens=64)
    process = start(config)
    wait_for(lambda: sum(endpoint.answered.values()) >= 20, process)
    for _ in range(copies):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)  # two deliveries: the system would merge them
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0
    assert errors.startswith("stopped: SIGTERM: the answers so far are kept")
    assert "Traceback" not in errors
    assert 0 < len(rows_of(tmp_path / "out/base/p/answers.jsonl")) < 100


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_5(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    problems = write_problems(tmp_path / "p.jsonl", 2)
    config = write_config(
        tmp_path / "c.toml", serve(scripted), ["base"], str(problems), max_new_tokens=64
    )
    with mounted(tmp_path / "disk", 1, read_only=True) as disk:
        out = str(disk / "out")
        config.write_text(config.read_text().replace(str(tmp_path / "out"), out))
        process = start(config)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 5
    assert (
        errors == f"stopped: {out}: Read-only file system: correct `out` or the folder's"
        " permissions\n"
    )


def test_a_second_process_on_the_same_folder_is_refused(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    endpoint = serve(
        lambda problem, *_: {"text": f"\\boxed{{{number_of(problem)}}}", "seconds": 0.2}
    )
    problems = write_problems(tmp_path / "p.jsonl", 200)
    config = write_config(tmp_path / "c.toml", endpoint, ["base"], str(problems), max_new_tokens=64)
    process = start(config)
    wait_for(lambda: sum(endpoint.asked.values()) >= 1, process)
    second_process = start(config)
    _, errors = second_process.communicate(timeout=240)
    assert second_process.returncode == 2
    assert f"held by process {process.pid}" in errors
