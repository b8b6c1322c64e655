"""Several servers: who is asked next, and a run that outlives one of them."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.config import GenerationConfig
from evaluation.engines.request import RequestFields
from evaluation.engines.servers import Server, next_server
from shared.chat_api import ChatClient, Clocks
from tests.evaluation.conftest import rows_of, write_problems

ROOT = Path(__file__).parents[3]
COUNT = 120


def server(in_flight: int = 0, failures: int = 0, rests_until: float = 0.0) -> Server:
    client = ChatClient("http://127.0.0.1:9/v1", "", Clocks(1, 1, 1, 1))
    fields = RequestFields("m", GenerationConfig())
    return Server("http://127.0.0.1:9/v1", client, fields, in_flight, failures, rests_until)


def test_the_server_with_the_least_in_flight_is_asked() -> None:
    servers = [server(in_flight=3), server(in_flight=1), server(in_flight=2)]
    assert next_server(servers, 0.0, ()) is servers[1]
    with servers[1].call(), servers[1].call():
        assert next_server(servers, 0.0, ()) is servers[2]
    assert next_server(servers, 0.0, {servers[1]}) is servers[2]


def test_one_that_failed_rests_and_then_has_one_call_to_show_that_it_is_back() -> None:
    well = server(in_flight=9)
    failing = server()
    servers = [well, failing]
    for _ in range(32):  # calls that were in flight together
        failing.failed(now=100.0)
    assert failing.failures == 1
    assert next_server(servers, 100.5, ()) is well
    assert next_server(servers, 101.0, ()) is failing
    with failing.call():
        assert next_server(servers, 101.0, ()) is well
        failing.failed(now=101.5)
    assert next_server(servers, 103.0, ()) is well  # longer each time
    assert next_server(servers, 103.5, ()) is failing
    failing.answered()
    with failing.call():
        assert next_server(servers, 103.5, ()) is failing


def test_where_all_rest_one_is_asked_all_the_same() -> None:
    servers = [server(rests_until=9.0, in_flight=1), server(rests_until=9.0)]
    assert next_server(servers, 1.0, ()) is servers[1]


@pytest.fixture
def local_servers() -> Iterator[list["subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "tests.evaluation.local_server", "0.02"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_an_evaluation_over_two_servers_one_killed_half_way_equals_the_undisturbed_one(
    local_servers: list["subprocess.Popen[str]"], tmp_path: Path
) -> None:
    addresses = [process.stdout.readline().strip() for process in local_servers]  # type: ignore[union-attr]
    problems = write_problems(tmp_path / "p.jsonl", COUNT)

    def run(out: str, base_url: Any) -> dict[str, Any]:
        config = tmp_path / f"{out}.toml"
        config.write_text(
            f'out = "{tmp_path / out}"\nmodels = ["base", "tuned"]\nbenchmarks = ["{problems}"]\n'
            f'[engine]\nkind = "endpoint"\nbase_url = {json.dumps(base_url)}\nbatch = 8\n'
        )
        assert main(["run", str(config)]) == 0
        comparison: dict[str, Any] = json.loads((tmp_path / out / "comparison.json").read_text())
        return comparison

    quiet_run = run("undisturbed", addresses[0])
    answers = tmp_path / "disturbed/base/p/answers.jsonl"

    def kill_half_way() -> None:
        while not answers.exists() or answers.read_bytes().count(b"\n") < COUNT / 2:
            time.sleep(0.005)
        local_servers[0].kill()

    killer = threading.Thread(target=kill_half_way, daemon=True)
    killer.start()
    disturbed_run = run("disturbed", addresses)
    killer.join()
    assert disturbed_run == quiet_run
    assert local_servers[0].wait() != 0
    for model in ("base", "tuned"):
        rows = rows_of(tmp_path / f"disturbed/{model}/p/answers.jsonl")
        assert len(rows) == len({row["id"] for row in rows}) == COUNT
