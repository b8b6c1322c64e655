"""lighteval's metric in its child: an answer's fault, the machine's fault, and what it may know."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.lighteval import metric
from evaluation.lighteval.metric import SecondOpinion
from shared.json_child import CannotStart

# Stands in for lighteval, which takes ten seconds to import.
CHILD = """
import time
from shared.json_child import serve

def answer(request):
    if request["text"] == "endless":
        time.sleep(600)
    return {"match": request["text"] in request["golds"]}

serve(lambda: answer)
"""


@pytest.fixture
def opinion(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondOpinion]:
    monkeypatch.setattr(metric, "COMMAND", [sys.executable, "-c", CHILD])
    opinion = SecondOpinion()
    yield opinion
    opinion.close()


@pytest.mark.slow
def test_lighteval_itself_gives_the_opinion() -> None:
    opinion = SecondOpinion()
    try:
        assert opinion.match(["6"], "so \\boxed{6}") is True
        assert opinion.match(["6"], "so \\boxed{7}") is False
        assert opinion.match(["6"], " ") is False
    finally:
        opinion.close()


def test_a_metric_that_died_while_it_waited_costs_no_opinion(opinion: SecondOpinion) -> None:
    assert opinion.match(["6"], "6") is True
    pid = opinion._child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert opinion.match(["6"], "6") is True


@pytest.mark.slow
def test_no_number_of_endless_answers_ends_the_second_opinion(
    opinion: SecondOpinion, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opinion.match(["6"], "6") is True
    monkeypatch.setattr(metric, "ANSWER_SECONDS", 0.05)
    assert [opinion.match(["6"], "endless") for _ in range(7)] == [None] * 7
    monkeypatch.setattr(metric, "ANSWER_SECONDS", 60.0)
    assert opinion.match(["6"], "6") is True


def test_a_metric_that_cannot_start_is_said_not_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = "from shared.json_child import serve\ndef prepare(): raise ImportError('no latex2sympy2')\nserve(prepare)"
    monkeypatch.setattr(metric, "COMMAND", [sys.executable, "-c", broken])
    opinion = SecondOpinion()
    with pytest.raises(CannotStart, match="a lighteval process cannot start: ImportError: no"):
        opinion.match(["6"], "6")
    assert opinion.match(["6"], " ") is False


def test_the_metric_gets_no_secret(opinion: SecondOpinion, monkeypatch: pytest.MonkeyPatch) -> None:
    opinion.close()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1234567890")
    monkeypatch.setenv("HF_TOKEN", "sk-secret-1234567890")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    opinion = SecondOpinion()
    assert opinion.match(["6"], "6") is True
    variables = Path(f"/proc/{opinion._child.pid}/environ").read_bytes()
    opinion.close()
    assert b"sk-secret" not in variables
    assert b"HF_HUB_OFFLINE=1" in variables


def test_a_run_that_is_broken_off_waits_for_no_metric(opinion: SecondOpinion) -> None:
    matches: list[bool | None] = []
    thread = threading.Thread(target=lambda: matches.append(opinion.match(["6"], "endless")))
    opinion.leave()  # idle: it stays
    assert opinion.match(["6"], "6") is True
    thread.start()
    while not opinion._child.is_busy:
        time.sleep(0.01)
    started_at = time.monotonic()
    opinion.leave()
    thread.join()
    assert time.monotonic() - started_at < metric.ANSWER_SECONDS / 2
    assert matches == [None]
