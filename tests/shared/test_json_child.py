"""A child that speaks JSON lines: what its death means, what it is told, how it ends."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import json_child
from shared.child_environment import child_environment
from shared.json_child import CannotStart, ChildDied, ChildLost, JsonChild

ROOT = Path(__file__).parents[2]
CHILD = """
import os, signal, time
from shared.json_child import serve

def answer(request):
    if request["do"] == "sleep":
        time.sleep(600)
    if request["do"] == "compute":
        while True:
            pass
    if request["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request["do"] == "exit":
        os._exit(7)
    if request["do"] == "print":
        print("not a reply")
    return {"echo": request["do"], "pid": os.getpid(), "environment": dict(os.environ)}

def prepare():
    PREPARE
    return answer

serve(prepare)
"""


def command(preparation: str = "pass") -> list[str]:
    return [sys.executable, "-c", CHILD.replace("PREPARE", preparation)]


@pytest.fixture
def child() -> Iterator[JsonChild]:
    child = JsonChild(command(), "test", start_pauses=(0.01,))
    yield child
    child.kill()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_child_answers_one_request_after_another_in_one_process(child: JsonChild) -> None:
    assert child.pid is None  # started by the first request
    replies = [child.ask({"do": word}, 60) for word in ("one", "two")]
    assert [reply["echo"] for reply in replies] == ["one", "two"]
    assert {reply["pid"] for reply in replies} == {child.pid}


def test_what_a_library_prints_is_no_reply(child: JsonChild) -> None:
    assert child.ask({"do": "print"}, 60)["echo"] == "print"
    assert child.ask({"do": "x"}, 60)["echo"] == "x"


def test_a_request_that_takes_too_long_ends_its_process_and_the_next_one_gets_another(
    child: JsonChild,
) -> None:
    first_pid = child.ask({"do": "x"}, 60)["pid"]
    with pytest.raises(ChildLost, match=r"no decision within 0\.2 s"):
        child.ask({"do": "sleep"}, 0.2)
    assert not exists(first_pid)
    assert child.ask({"do": "x"}, 60)["pid"] != first_pid


def test_a_death_while_it_waits_costs_no_request(child: JsonChild) -> None:
    for _ in range(json_child.MOST_DEATHS + 1):
        pid = child.ask({"do": "x"}, 60)["pid"]
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z":
            time.sleep(0.01)
    assert child.ask({"do": "x"}, 60)["echo"] == "x"


@pytest.mark.parametrize(("word", "ending"), [("die", "SIGKILL"), ("exit", "exit code 7")])
def test_two_deaths_under_a_request_are_the_requests(
    child: JsonChild, word: str, ending: str
) -> None:
    with pytest.raises(ChildDied, match=f"2 test processes ended .*, the last by {ending}$"):
        child.ask({"do": word}, 60)
    assert child.ask({"do": "x"}, 60)["echo"] == "x"


def test_a_child_that_says_why_it_cannot_start_is_not_tried_again(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    preparation = f"open({str(attempts)!r}, 'a').write('x'); raise ImportError('no lighteval')"
    child = JsonChild(command(preparation), "test", start_pauses=(0.01,) * 5)
    with pytest.raises(
        CannotStart, match="a test process cannot start: ImportError: no lighteval: make room"
    ):
        child.ask({"do": "x"}, 60)
    assert attempts.read_text() == "x"
    assert child.pid is None


def test_a_child_that_ends_at_its_start_is_tried_again_after_each_pause(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    late = f"path = {str(attempts)!r}; open(path, 'a').write('x')\n"
    late += "    if os.path.getsize(path) < 3: os._exit(1)"
    child = JsonChild(command(late), "test", start_pauses=(0.01, 0.01))
    assert child.ask({"do": "x"}, 60)["echo"] == "x"
    child.kill()
    attempts.unlink()
    with pytest.raises(CannotStart, match="it ended by exit code 1 before it was ready"):
        JsonChild(command(late), "test", start_pauses=(0.01,)).ask({"do": "x"}, 60)


def test_a_child_that_is_not_ready_in_time_cannot_start() -> None:
    child = JsonChild(command("time.sleep(600)"), "test", start_pauses=(), start_seconds=0.5)
    with pytest.raises(CannotStart, match=r"it was not ready within 0\.5 s"):
        child.start(())
    assert child.pid is None


def test_a_launched_child_gets_ready_meanwhile_and_its_fault_is_the_first_requests() -> None:
    child = JsonChild(command(), "test")
    child.launch()
    pid = child.pid
    assert child.ask({"do": "x"}, 60)["pid"] == pid
    child.kill()
    broken = JsonChild(["/nowhere/python"], "test", start_pauses=(0.01,))
    broken.launch()
    with pytest.raises(CannotStart, match="No such file or directory"):
        broken.ask({"do": "x"}, 60)


@pytest.mark.parametrize("preparation", ["pass", "time.sleep(600)"])
def test_killing_a_child_ends_the_wait_of_another_thread(preparation: str) -> None:
    child = JsonChild(command(preparation), "test", start_pauses=(60.0,))
    endings: list[str] = []

    def ask() -> None:
        try:
            child.ask({"do": "sleep"}, 600)
        except ChildDied as death:
            endings.append(death.ending)

    thread = threading.Thread(target=ask)
    thread.start()
    while child.pid is None:
        time.sleep(0.01)
    time.sleep(0.3)
    pid = child.pid
    child.kill()
    thread.join(20)
    assert endings == ["SIGKILL"]
    assert not exists(pid)
    with pytest.raises(ChildDied):  # for good
        child.ask({"do": "x"}, 60)
    assert child.pid is None


def test_a_child_gets_what_it_needs_of_the_environment_and_no_secret(
    child: JsonChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_OWN_NAME_FOR_A_KEY", "http_proxy", "HF_HOME"):
        monkeypatch.setenv(name, "sk-secret-1234567890")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    variables = child.ask({"do": "x"}, 60)["environment"]
    assert "sk-secret-1234567890" not in variables.values()
    assert variables["LC_ALL"] == "C.UTF-8"
    assert variables["PYTHONPATH"] == f"{ROOT}{os.pathsep}/somewhere"
    assert child_environment({"HF_HOME"})["HF_HOME"] == "sk-secret-1234567890"


def test_a_child_of_a_killed_owner_ends_even_inside_a_computation(tmp_path: Path) -> None:
    owner = (
        "from shared.json_child import JsonChild\n"
        f"child = JsonChild({command()!r}, 'test')\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "child.ask({'do': 'compute'}, 0.5)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", owner], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not exists(pid)


def test_an_owner_of_more_than_1024_open_files_is_served() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 1100
    if before[1] != resource.RLIM_INFINITY and before[1] < needed:
        pytest.skip("the hard limit of open files is lower")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], needed), before[1]))
    descriptors = []
    child = JsonChild(command(), "test")
    try:
        while not descriptors or descriptors[-1] < 1030:
            descriptors.append(os.dup(0))
        assert child.ask({"do": "x"}, 60)["echo"] == "x"
    finally:
        child.kill()
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
