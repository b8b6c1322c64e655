"""The daemon as a process: budgets over restarts and kills, waiting, reloading, pausing,
following.
"""

import json
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.generator.process_runs import (
    LONG,
    Rehearsal,
    command,
    configure,
    environment,
    eventually,
    free_port,
    generator,
    rehearsal,
    rows,
    started,
)

TOKEN = {"GENERATOR_TOKEN": "sesame"}


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
        return json.load(reply)


def post(port: int, path: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method="POST", headers={"Authorization": "Bearer sesame"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def is_up(port: int) -> bool:
    try:
        return bool(get(port, "/healthz"))
    except OSError:
        return False


def phase(port: int) -> str:
    return str(get(port, "/status")["phase"])


def calls_in_ledger(folder: Path) -> int:
    with sqlite3.connect(folder / "corpus" / "ledger.sqlite") as db:
        count: int = db.execute("SELECT count(*) FROM calls").fetchone()[0]
    return count


@contextmanager
def a_daemon(folder: Path, teacher: Rehearsal, **keys: Any) -> Iterator[tuple[Any, int, Path]]:
    """A run with its server up: process, port, configuration."""
    port = free_port()
    config = configure(folder, teacher.url, daemon__port=port, **keys)
    with started("run", config, **TOKEN) as process:
        eventually(lambda: is_up(port), "the server")
        yield process, port, config


def test_a_hundred_calls_a_day_are_a_hundred_at_the_server_over_two_starts_with_failing_calls(
    tmp_path: Path,
) -> None:
    with rehearsal("--faults", "503=0.05,cut=0.05,retry_after=0") as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__limit=300,
            lane__calls_per_day=100,
            lane__day_timezone="Asia/Shanghai",
            daemon__wait=False,
        )
        first_run = generator("run", config)
        second_run = generator("run", config)
        assert (first_run.returncode, second_run.returncode) == (3, 3), first_run.stderr
        assert "local has used 100 of 100 calls today" in first_run.stderr
        assert "Asia/Shanghai" in second_run.stderr
        assert teacher.stats()["calls"] == 100
    assert calls_in_ledger(tmp_path) == 100
    assert generator("check", tmp_path / "corpus").returncode == 0
    assert not list((tmp_path / "corpus").glob("*/*.open"))


def test_a_day_that_the_server_called_used_up_costs_one_call_after_a_restart(
    tmp_path: Path,
) -> None:
    with rehearsal("--calls-per-day", "20") as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__limit=60,
            lane__day_timezone="Asia/Shanghai",
            daemon__wait=False,
        )
        assert generator("run", config).returncode == 3
        before = teacher.stats()["calls"]
        again = generator("run", config)
        assert again.returncode == 3
        assert "has used all calls that its server allows today" in again.stderr
        assert teacher.stats()["calls"] - before == 1
    assert len(rows(tmp_path / "corpus", "traces")) <= 20


def test_a_small_limit_of_open_files_is_said_and_the_calls_in_flight_stay_within_it(
    tmp_path: Path,
) -> None:
    with rehearsal("--tokens-per-second", "400") as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=200, lane__concurrency=400)
        process = subprocess.run(
            ["bash", "-c", 'ulimit -n 150 && exec "$@"', "bash", *command("run", config)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert (
            "150 open files are allowed: at most 22 calls in flight on a lane, where up to 400 are"
            " configured" in process.stdout
        )
    assert len(rows(tmp_path / "corpus")) == 200


def test_an_idle_daemon_says_why_goes_on_after_a_reload_and_loses_no_call(tmp_path: Path) -> None:
    with (
        rehearsal("--tokens-per-second", "500") as teacher,
        a_daemon(tmp_path, teacher, problems__limit=60, lane__calls_per_day=20) as (
            process,
            port,
            _,
        ),
    ):
        eventually(lambda: phase(port) == "idle", "an idle run")
        assert (
            "local has used 20 of 20 calls today, next at 00:00 UTC, in"
            in get(port, "/status")["note"]
        )
        assert teacher.stats()["calls"] == 20
        status = get(port, "/status")
        assert status["eta_by_quota"]
        assert status["eta_seconds"] > 86_400  # forty more at twenty a day
        eventually(  # the run leaves word for others every two seconds
            lambda: (
                "local has used 20 of 20 calls today"
                in generator("status", tmp_path / "corpus").stdout
            ),
            "the reason in what a second process reads",
        )
        configure(
            tmp_path, teacher.url, problems__limit=60, daemon__port=port, lane__calls_per_day=30
        )
        process.send_signal(signal.SIGHUP)
        eventually(
            lambda: teacher.stats()["calls"] == 30 and phase(port) == "idle", "ten calls more"
        )
        configure(
            tmp_path, teacher.url, problems__limit=60, daemon__port=port, lane__concurrency=32
        )
        assert post(port, "/reload")["done"] == "reload"
        assert process.wait(timeout=LONG) == 0
        assert teacher.stats()["calls"] == 60
    assert len(rows(tmp_path / "corpus")) == 60


def test_a_configuration_that_cannot_be_read_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    with (
        rehearsal("--tokens-per-second", "300") as teacher,
        a_daemon(tmp_path, teacher, problems__limit=400) as (process, port, config),
    ):
        config.write_text(config.read_text().replace("concurrency = 16", 'concurrency = "many"'))
        process.send_signal(signal.SIGHUP)
        with pytest.raises(urllib.error.HTTPError) as refusal:
            post(port, "/reload")
        assert refusal.value.code == 400
        assert "lane.0.concurrency" in json.load(refusal.value)["error"]
        before = teacher.stats()["calls"]
        eventually(lambda: teacher.stats()["calls"] > before, "it goes on")


def test_a_paused_run_starts_no_call_and_a_drained_one_ends_with_0(tmp_path: Path) -> None:
    with (
        rehearsal("--tokens-per-second", "300") as teacher,
        a_daemon(tmp_path, teacher, problems__limit=5000) as (process, port, _),
    ):
        eventually(lambda: teacher.stats()["calls"] > 20, "some work")
        post(port, "/pause")
        eventually(lambda: get(port, "/status")["in_flight"] == 0, "calls in flight to end")
        before = teacher.stats()["calls"]
        assert phase(port) == "paused"
        assert process.poll() is None
        assert teacher.stats()["calls"] == before
        post(port, "/resume")
        eventually(lambda: teacher.stats()["calls"] > before + 5, "more work")
        post(port, "/drain")
        assert process.wait(timeout=LONG) == 0
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_kill_9_while_it_waits_probes_or_drains_leaves_budgets_right_to_the_call(
    tmp_path: Path,
) -> None:
    limit = {"problems__limit": 400, "lane__concurrency": 8, "retry__attempts": 2}

    def killed(flags: tuple[str, ...], ready: Any, **keys: Any) -> int:
        """Calls that a server with these flags saw until the run was killed."""
        with (
            rehearsal(*flags) as teacher,
            a_daemon(tmp_path, teacher, **limit, **keys) as (process, port, _),
        ):
            eventually(lambda: ready(process, port), "the state to kill in")
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=LONG)
            return int(teacher.stats()["calls"])

    def draining(process: Any, port: int) -> bool:
        if get(port, "/status")["in_flight"] >= 4:
            process.send_signal(signal.SIGTERM)
            eventually(lambda: phase(port) == "draining", "the drain")
            return True
        return False

    slow = ("--tokens-per-second", "40")
    server_calls = killed((), lambda _, port: phase(port) == "idle", lane__calls_per_day=30)
    assert calls_in_ledger(tmp_path) == server_calls == 30
    server_calls += killed(
        ("--faults", "503=1,retry_after=0"),
        lambda _, port: get(port, "/status")["lanes"][0]["state"] in ("circuit open", "probing"),
        lane__calls_per_day=60,
    )
    # A call is booked before it is sent: the kill may fall between the two, so the ledger has every
    # call that the server saw, and besides them only calls that were in flight.
    booked_calls = calls_in_ledger(tmp_path)
    assert server_calls <= booked_calls <= min(60, server_calls + 8)
    server_calls += killed(slow, draining, lane__calls_per_day=90)
    booked_again = calls_in_ledger(tmp_path)
    assert server_calls <= booked_again <= min(90, server_calls + 2 * 8)
    with rehearsal() as teacher:
        config = configure(
            tmp_path, teacher.url, **limit, lane__calls_per_day=120, daemon__wait=False
        )
        last_run = generator("run", config)
        assert last_run.returncode == 3, last_run.stderr
        assert teacher.stats()["calls"] == 120 - booked_again
    assert generator("check", tmp_path / "corpus").returncode == 0


def test_a_followed_file_that_grows_gives_new_work(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"

    def write(first: int, last: int) -> None:
        with problems.open("a") as file:
            for number in range(first, last):
                file.write(
                    json.dumps({"problem": f"What is {number} + 1?", "answer": str(number + 1)})
                    + "\n"
                )

    write(0, 3)
    with (
        rehearsal() as teacher,
        a_daemon(
            tmp_path,
            teacher,
            problems__source=str(problems),
            problems__answer_field="answer",
            problems__limit=0,
            daemon__follow=True,
        ) as (process, port, _),
    ):
        eventually(lambda: get(port, "/status")["done"] == 3, "the first problems")
        write(3, 5)
        eventually(lambda: get(port, "/status")["done"] == 5, "the new problems")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=LONG) == 0


def test_a_followed_file_that_is_half_written_at_the_start_is_looked_at_again(
    tmp_path: Path,
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "What is 1 + 1?", "ans')
    keys = {"problems__source": str(problems), "problems__limit": 0}
    with (
        rehearsal() as teacher,
        a_daemon(tmp_path, teacher, daemon__follow=True, **keys) as (process, port, _),
    ):
        with problems.open("a") as file:
            file.write('wer": "2"}\n')
        eventually(lambda: get(port, "/status")["done"] == 1, "the problem once it is whole")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=LONG) == 0


def test_a_closed_window_ends_a_run_that_does_not_wait_with_exit_3_and_no_call(
    tmp_path: Path,
) -> None:
    with rehearsal() as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            lane__windows=["mon 00:00-00:01"],
            lane__holidays=[],
            daemon__wait=False,
        )
        process = generator("run", config)
        calls = teacher.stats()["calls"]
    if calls == 0:  # unless this minute is the one
        assert process.returncode == 3
        assert "outside its windows, next at" in process.stderr


def test_an_outage_longer_than_give_up_minutes_ends_with_exit_4(tmp_path: Path) -> None:
    config = configure(tmp_path, f"http://127.0.0.1:{free_port()}/v1", daemon__give_up_minutes=0.05)
    process = generator("run", config)
    assert process.returncode == 4, process.stderr
    assert "no lane has worked for 0.05 minutes" in process.stderr


def test_an_unknown_limit_in_flight_is_found_by_a_whole_run(tmp_path: Path) -> None:
    with rehearsal(
        "--tokens-per-second", "300", "--max-in-flight", "12", "--no-retry-after"
    ) as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=250, lane__concurrency=0)
        assert generator("run", config).returncode == 0
        stats = teacher.stats()
    assert (
        stats["by_status"].get("429", 0) < 0.15 * stats["calls"]
    )  # the search is a large part of so short a run
    assert stats["delivered"] >= 250
