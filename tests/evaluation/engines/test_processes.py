"""Several processes that answer with one model, sharing one cache of answers."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.config import EngineConfig
from evaluation.engines.dealing import Dealer
from evaluation.engines.processes import worker_devices
from evaluation.records import Question, SampleRequest
from shared.errors import InputError
from tests.evaluation.conftest import rows_of, write_problems
from tests.evaluation.tiny_models import write_model

pytestmark = pytest.mark.process  # the product's own workers

COUNT = 40


def requests(count: int) -> list[SampleRequest]:
    return [SampleRequest(Question(str(n), "", "", ()), 0) for n in range(count)]


def test_parts_grow_smaller_and_every_request_is_dealt_once() -> None:
    dealer = Dealer(requests(1_000), 2)
    sizes = []
    dealt = []
    part = dealer.take("a")
    while part:
        sizes.append(len(part))
        dealt += part
        for request in part:
            dealer.answered("a", request)
        part = dealer.take("a")
    assert sorted(dealt, key=lambda r: int(r.question.id)) == requests(1_000)
    assert sizes[0] == 375
    assert sizes == sorted(sizes, reverse=True)


def test_what_a_worker_that_ended_had_open_is_dealt_to_one_that_waits_for_it() -> None:
    dealer = Dealer(requests(20), 2)
    first_part = dealer.take("a")
    second_part = dealer.take("b")
    assert len(first_part) + len(second_part) == 20
    for request in second_part:
        dealer.answered("b", request)
    for request in first_part[:3]:
        dealer.answered("a", request)
    parts: list[list[SampleRequest]] = []
    waiting = threading.Thread(target=lambda: parts.append(dealer.take("b")))
    waiting.start()
    assert dealer.give_back("a") == len(first_part) - 3
    waiting.join(10)
    assert set(parts[0]) == set(first_part[3:])


def test_there_is_one_process_a_card_and_a_device_that_cannot_be_is_refused() -> None:
    assert worker_devices(EngineConfig(processes=2), 4) == ["cuda:0", "cuda:1"]
    assert worker_devices(EngineConfig(processes=2), 0) == ["cpu#0", "cpu#1"]
    with pytest.raises(InputError, match=r"engine.processes = 2: there are 1 cards here"):
        worker_devices(EngineConfig(processes=2), 1)
    with pytest.raises(InputError, match=r'engine.device = "cuda:1" names one device'):
        worker_devices(EngineConfig(processes=2, device="cuda:1"), 4)


def workers() -> list[int]:
    """The processes that answer for this one."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # ended meanwhile
        if parent == os.getpid() and b"evaluation.engines.worker" in command:
            processes.append(int(folder.name))
    return processes


@pytest.mark.timeout(600)
def test_two_processes_one_killed_half_way_give_what_one_alone_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model")
    problems = write_problems(tmp_path / "p.jsonl", COUNT)

    def run(out: str, *settings: str) -> dict[str, Any]:
        config = tmp_path / f"{out}.toml"
        config.write_text(
            f'out = "{tmp_path / out}"\nmodels = ["{model}"]\nbenchmarks = ["{problems}"]\n'
            "[generation]\nmax_new_tokens = 120\ntemperature = 1.0\n"
            '[engine]\ndevice = "cpu"\nbatch = 2\n'
        )
        sets = [word for setting in settings for word in ("--set", setting)]
        assert main(["run", str(config), *sets]) == 0
        comparison: dict[str, Any] = json.loads((tmp_path / out / "comparison.json").read_text())
        return comparison

    alone = run("alone")
    killed_pids: list[int] = []

    def kill_one() -> None:
        def lines() -> int:
            caches = list((tmp_path / "together").glob("*/p/answers.jsonl"))
            return caches[0].read_bytes().count(b"\n") if caches else 0

        while lines() < COUNT / 4:
            time.sleep(0.002)
        killed_pids.append(workers()[0])
        os.kill(killed_pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    together = run("together", "engine.processes=2")
    killer.join()
    assert together == alone
    assert len(killed_pids) == 1
    assert "open answers go to the others" in capsys.readouterr().out
    (cache,) = (tmp_path / "together").glob("*/p/answers.jsonl")
    (cache_alone,) = (tmp_path / "alone").glob("*/p/answers.jsonl")
    assert {row["id"]: row["text"] for row in rows_of(cache)} == {
        row["id"]: row["text"] for row in rows_of(cache_alone)
    }
    assert len(rows_of(cache)) == COUNT
    assert workers() == []
