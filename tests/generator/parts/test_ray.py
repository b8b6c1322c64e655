"""Parts as tasks of a real Ray, whose worker is killed."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from tests.generator.parts.world import World, outcomes, processes_of_part
from tests.generator.process_runs import LONG, eventually, generator, rows, started

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install 'stillhouse[ray]'",
)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_killed_ray_worker_costs_no_sample_and_changes_no_verdict(
    world: World, single: Path, tmp_path: Path
) -> None:
    config = world.configure(tmp_path, lane__concurrency=4)
    corpus = tmp_path / "corpus"
    with started(
        "run", config, "--parts", "2", "--on", "ray:local", RAY_AUTH_MODE="disabled"
    ) as run:
        eventually(lambda: rows(corpus / "part-0001"), "a sample of part 1")
        (pid,) = [pid for pid in processes_of_part(config, "1/2") if os.getpgid(pid) == pid]
        os.kill(parent_of(pid), signal.SIGKILL)
        _, errors = run.communicate(timeout=LONG)
    assert run.returncode == 0, errors
    assert outcomes(corpus) == outcomes(single)
    left_out = "screening/left-out.npy"
    assert (corpus / left_out).read_bytes() == (single / left_out).read_bytes()
    assert generator("check", corpus).returncode == 0
