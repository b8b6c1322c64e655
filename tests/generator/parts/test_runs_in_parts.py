"""Runs in parts: real processes against a real teacher, one of them killed."""

import hashlib
import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from generator.__main__ import main
from shared.errors import InputError
from shared.parts import part_of
from tests.generator.parts.world import World, outcomes, processes_of_part
from tests.generator.process_runs import (
    LONG,
    configure,
    environment,
    eventually,
    free_port,
    generator,
    rehearsal,
    rows,
    started,
)

PROBLEMS = 24


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_killed_part_is_named_and_done_again_and_finished_parts_stay_as_they_are(
    world: World, single: Path, tmp_path: Path
) -> None:
    config = world.configure(tmp_path, lane__concurrency=4)
    corpus = tmp_path / "corpus"
    with started("run", config, "--parts", "3", "--on", "local:2") as process:
        eventually(lambda: rows(corpus / "part-0001"), "a sample of part 1")
        (pid,) = [pid for pid in processes_of_part(config, "1/3") if os.getpgid(pid) == pid]
        os.kill(pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert "part 1: killed by SIGKILL: it is done again" in errors
    assert outcomes(corpus) == outcomes(single)
    left_out = "screening/left-out.npy"
    assert (corpus / left_out).read_bytes() == (single / left_out).read_bytes()
    for number in range(3):
        ids = outcomes(corpus / f"part-{number:04d}")
        assert ids
        assert all(part_of(each.partition(":")[0], 3) == number for each in ids)
    before = {number: digests(corpus / f"part-{number:04d}") for number in range(3)}
    again = generator("run", config, "--parts", "3", "--on", "local:2")
    assert "3 done before" in again.stdout
    assert before == {number: digests(corpus / f"part-{number:04d}") for number in range(3)}
    assert generator("check", corpus).returncode == 0
    assert "parts      3: 3 done" in generator("status", corpus).stdout
    assert f"{PROBLEMS} samples finished: 0 samples to ask" in generator("plan", config).stdout
    refusal = generator("run", config, "--parts", "4")
    assert refusal.returncode == 2
    assert "divided into 3 parts" in refusal.stderr


def test_parts_together_keep_to_the_calls_of_a_day(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(
            tmp_path,
            teacher.url,
            problems__limit=90,
            lane__calls_per_day=40,
            daemon__wait=False,
        )
        run = generator("run", config, "--parts", "4", "--on", "local:2")
        calls = teacher.stats()["calls"]
    assert run.returncode == 3, run.stderr
    assert calls == 40
    assert "stopped: part" in run.stderr


def test_the_printed_script_does_its_part_in_bash(
    world: World, single: Path, tmp_path: Path
) -> None:
    config = world.configure(tmp_path)
    script = generator("run", config, "--parts", "4", "--on", "slurm:2")
    assert script.returncode == 0, script.stderr
    assert "#SBATCH --array=0-3%2\n" in script.stdout
    path = tmp_path / "job.sbatch"
    path.write_text(script.stdout)
    subprocess.run(
        ["bash", path],
        env=environment(SLURM_ARRAY_TASK_ID="2"),
        cwd=tmp_path,
        check=True,
        timeout=LONG,
        capture_output=True,
    )
    corpus = tmp_path / "corpus"
    own = {
        each: verdict
        for each, verdict in outcomes(single).items()
        if part_of(each.partition(":")[0], 4) == 2
    }
    assert outcomes(corpus) == own
    assert [path.name for path in corpus.glob("part-*")] == ["part-0002"]


def asked(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=LONG) as reply:
        return json.load(reply)


def test_one_page_shows_all_parts_and_the_first_signal_drains_them(
    world: World, tmp_path: Path
) -> None:
    port = free_port()
    config = configure(
        tmp_path,
        world.teacher.url,
        problems__limit=4000,
        lane__concurrency=4,
        daemon__port=port,
    )
    corpus = tmp_path / "corpus"
    with started("run", config, "--parts", "3", "--on", "local:2") as process:
        eventually(lambda: outcomes(corpus), "a sample")
        eventually(lambda: asked(port, "status")["in_flight"] == 4, "both parts on the page")
        status = asked(port, "status")
        assert asked(port, "traces")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert status["note"] == "3 parts: 2 running, 1 waiting"
    assert (status["corpus"], status["total"]) == (str(corpus), 4000)
    assert [(lane["name"], lane["ceiling"]) for lane in status["lanes"]] == [("local", 4)]
    assert processes_of_part(config) == []
    assert not list(corpus.glob("part-*/*/*.open"))


def test_parts_drain_when_who_started_them_is_killed(world: World, tmp_path: Path) -> None:
    config = configure(tmp_path, world.teacher.url, problems__limit=4000, lane__concurrency=4)
    corpus = tmp_path / "corpus"
    with started("run", config, "--parts", "2", "--on", "local:2") as process:
        eventually(lambda: outcomes(corpus), "a sample")
        process.kill()
        process.wait()
        eventually(lambda: not processes_of_part(config), "parts that have drained")
    assert not list(corpus.glob("part-*/*/*.open"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "4/4"], "counted from 0 to 3"),
        (["--part", "x"], "write K/N"),
        (["--part", "1/4", "--parts", "4"], "take one of the two out"),
        (["--parts", "20000"], "from 1 to 10,000"),
        (["--parts", "2", "--on", "here"], "write local:W"),
        (["--parts", "2", "--on", "local:0"], "write local:W"),
        (["--parts", "8", "--on", "local:2"], "calls_per_day = 3 cannot be divided among 8 parts"),
        (["--part", "1/4"], "calls_per_day = 3 cannot be divided among 4 parts"),
    ],
)
def test_words_that_cannot_be_parts_are_refused_in_a_line(
    tmp_path: Path, words: list[str], message: str
) -> None:
    config = configure(tmp_path, "http://127.0.0.1:9/v1", lane__calls_per_day=3)
    with pytest.raises(InputError, match=re.escape(message)):
        main(["run", str(config), *words])
    assert not (tmp_path / "corpus").exists()  # another number of parts is still free
