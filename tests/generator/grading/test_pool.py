"""Graders: verdicts beside a running event loop; a worker that exceeds its time is killed alone."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from generator.grading import pool
from generator.grading.pool import Graders
from shared.grading import worker_pool
from shared.json_child import CannotStart

pytestmark = pytest.mark.process  # the product's own workers

LOADED_SECONDS = (
    1.0  # of a processor: more than starting takes, so the worker has a request before it
)
ENDLESS = "\\boxed{\\sum_{k=1}^{10^{12}} k^{k}}"
SLOW = "\\boxed{\\sum_{k=1}^{3} k}"  # decided by a worker


async def test_plain_answers_are_decided_without_a_worker() -> None:
    async with Graders(workers=2) as graders:
        verdicts = [await graders.grade(f"So \\boxed{{{n}}}.", str(n // 2 * 2)) for n in range(100)]
        assert [v.verdict for v in verdicts] == ["correct", "incorrect"] * 50
        assert graders.pids == []


async def test_what_a_worker_decides_is_the_same_verdict() -> None:
    async with Graders(workers=1, timeout_seconds=60) as graders:
        verdict = await graders.grade(SLOW, "6")
        assert (verdict.verdict, verdict.checked_by) == ("correct", "math_verify")
        assert (await graders.grade(SLOW, "7")).verdict == "incorrect"
        assert len(graders.pids) == 1


@pytest.mark.timing
async def test_the_event_loop_goes_on_while_a_worker_computes() -> None:
    async with Graders(workers=1, timeout_seconds=2) as graders:
        await graders.grade(SLOW, "6")
        grading = asyncio.ensure_future(graders.grade(ENDLESS, "6"))
        ticks = 0
        while not grading.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert (await grading).verdict == "unverifiable"
        assert ticks > 20  # of 200; a loop that waits for sympy gets none


async def test_a_worker_that_exceeds_its_time_is_killed_alone_and_replaced() -> None:
    async with Graders(workers=2, timeout_seconds=3) as graders:
        await asyncio.wait_for(
            asyncio.gather(graders.grade(SLOW, "6"), graders.grade(SLOW, "7")), 120
        )
        before = graders.pids
        assert len(before) == 2
        verdict = await graders.grade(ENDLESS, "6")
        assert verdict.verdict == "unverifiable"
        assert "no decision within 3 s" in verdict.reason
        after = graders.pids
        assert len(set(before) & set(after)) == 1
        assert (await graders.grade(SLOW, "6")).verdict == "correct"
        assert (await graders.grade(SLOW, "6")).verdict == "correct"


async def test_a_worker_that_dies_by_itself_costs_no_verdict() -> None:
    async with Graders(workers=1, timeout_seconds=60) as graders:
        await graders.grade(SLOW, "6")
        os.kill(graders.pids[0], signal.SIGKILL)
        assert (await graders.grade(SLOW, "6")).verdict == "correct"


def kill_when_it_computes(graders: Graders, times: int) -> None:
    """Kill the one worker `times` times, each time while it has a request before it."""
    for _ in range(times):
        while not graders.pids or processor_seconds(graders.pids[0]) < LOADED_SECONDS:
            time.sleep(0.01)
        pid = graders.pids[0]
        os.kill(pid, signal.SIGKILL)
        while pid in graders.pids:
            time.sleep(0.01)


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_worker_killed_under_an_answer_is_replaced_once_and_a_second_death_is_the_answers() -> (
    None
):
    async with Graders(workers=1, timeout_seconds=60) as graders:
        killing = asyncio.ensure_future(asyncio.to_thread(kill_when_it_computes, graders, 2))
        verdict = await graders.grade(ENDLESS, "6")
        await killing
        assert verdict.verdict == "unverifiable"
        assert verdict.reason.endswith(
            "2 grading processes ended over this answer, the last by SIGKILL"
        )
        assert (await graders.grade(SLOW, "6")).verdict == "correct"


async def test_a_machine_that_cannot_start_a_worker_gives_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "START_PAUSES", (0.01,))
    monkeypatch.setattr(pool, "PATIENT_PAUSES", (0.01,))
    for command, why in (
        (["/nowhere/python"], "No such file or directory"),
        (
            [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
            "ended by SIGKILL before it was ready",
        ),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended by exit code 3 before it was ready"),
    ):
        monkeypatch.setattr(worker_pool, "COMMAND", command)
        async with Graders(workers=2) as graders:
            with pytest.raises(CannotStart, match=why):
                await graders.check()
        async with Graders(workers=2) as graders:
            outcomes = await asyncio.gather(
                *(graders.grade(SLOW, "6") for _ in range(4)),
                graders.grade("\\boxed{6}", "6"),
                return_exceptions=True,
            )
            assert [type(one) for one in outcomes[:4]] == [CannotStart] * 4
            assert outcomes[4] == await graders.grade("\\boxed{6}", "6")


async def test_a_worker_that_cannot_start_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PATIENT_PAUSES", (0.05,) * 200)
    flag = tmp_path / "room"
    late = f"import os, runpy; os.path.exists({str(flag)!r}) or os._exit(1); "
    late += "runpy.run_module('shared.grading.worker', run_name='__main__')"
    monkeypatch.setattr(worker_pool, "COMMAND", [sys.executable, "-c", late])
    async with Graders(workers=1, timeout_seconds=60) as graders:
        grading = asyncio.ensure_future(graders.grade(SLOW, "6"))
        await asyncio.sleep(0.5)
        assert not grading.done()
        flag.touch()
        assert (await grading).verdict == "correct"


async def test_workers_survive_the_signals_that_drain_their_owner() -> None:
    async with Graders(workers=1, timeout_seconds=60) as graders:
        await graders.grade(SLOW, "6")
        pid = graders.pids[0]
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        assert (await graders.grade(SLOW, "6")).verdict == "correct"
        assert graders.pids == [pid]


async def test_a_cancelled_question_leaves_no_half_read_reply_behind() -> None:
    async with Graders(workers=1, timeout_seconds=60) as graders:
        await graders.grade(SLOW, "6")
        grading = asyncio.ensure_future(graders.grade(ENDLESS, "6"))
        await asyncio.sleep(0.2)
        grading.cancel()
        await asyncio.wait([grading])
        assert (await graders.grade(SLOW, "6")).verdict == "correct"


async def test_closing_ends_every_worker() -> None:
    async with Graders(workers=2, timeout_seconds=60) as graders:
        await asyncio.gather(graders.grade(SLOW, "6"), graders.grade(SLOW, "7"))
        pids = graders.pids
        assert len(pids) == 2
    assert not [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.timing
async def test_a_megabyte_of_text_holds_the_loop_up_for_a_moment_only() -> None:
    text = "So \\frac{1}{2} or {so}. " * 45_000 + "\\boxed{7}"
    async with Graders() as graders:
        started = time.process_time()
        assert (await graders.grade(text, "7", text)).verdict == "correct"
        assert time.process_time() - started < 0.5
