"""A second screening of the same data: what was decided is kept, through kills, power cuts and full
disks, and where two programs screen at once.
"""

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up import made_up
from generator.config import ProblemsConfig, ScreeningConfig
from generator.intake import Intake
from tests.generator.process_runs import environment
from tests.generator.screening.intakes import screened, write_problems


def test_what_was_screened_is_not_screened_again_until_data_or_settings_change(
    tmp_path: Path,
) -> None:
    source = write_problems(tmp_path / "x.jsonl", [made_up("training", n) for n in range(50)])

    def rows_screened(**keys: Any) -> int:
        rows: list[int] = []
        Intake(
            ProblemsConfig(source=str(source)),
            ScreeningConfig(**keys),
            tmp_path / "corpus",
            rows.append,
        ).open()
        return max(rows, default=0)

    assert [rows_screened(), rows_screened()] == [50, 0]
    assert [rows_screened(near_duplicates=0.7), rows_screened(near_duplicates=0.7)] == [50, 0]
    write_problems(source, [made_up("training", n) for n in range(60)])
    assert [rows_screened(near_duplicates=0.7), rows_screened(near_duplicates=0.7)] == [60, 0]


@pytest.mark.parametrize("damage", ["removed", "empty", "cut"])
def test_what_was_decided_is_decided_again_where_a_power_cut_took_it(
    tmp_path: Path, damage: str
) -> None:
    texts = [made_up("training", n % 40) for n in range(50)]
    source = write_problems(tmp_path / "x.jsonl", texts)
    whole = screened(source, tmp_path / "corpus", ())
    path = tmp_path / "corpus/screening/left-out.npy"
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-5])
    after = screened(source, tmp_path / "corpus", ())
    assert (after[0], after[1].summary) == (whole[0], whole[1].summary)


def test_a_plan_beside_a_run_waits_for_the_screening_that_is_going_on(tmp_path: Path) -> None:
    source = write_problems(tmp_path / "x.jsonl", [made_up("training", n) for n in range(20)])
    intake = Intake(
        ProblemsConfig(source=str(source)), ScreeningConfig(), tmp_path / "corpus", lambda _: None
    )
    with ThreadPoolExecutor(1) as threads:
        with intake.screening.alone():
            opened = threads.submit(intake.open)
            with pytest.raises(TimeoutError):
                opened.result(0.3)
        assert len(list(opened.result(30))) == 20


def test_a_killed_screening_goes_on_where_it_was_and_decides_the_same(tmp_path: Path) -> None:
    texts = [made_up("training", n % 6000) for n in range(8000)]
    evaluation = write_problems(tmp_path / "eval.jsonl", texts[:100])
    source = write_problems(tmp_path / "x.jsonl", texts)
    whole = screened(source, tmp_path / "whole", (str(evaluation),))
    program = (
        "import sys\nfrom pathlib import Path\nfrom generator.config import ProblemsConfig,"
        " ScreeningConfig\nfrom generator.intake import Intake\nprint('first',"
        " flush=True)\nIntake(ProblemsConfig(source=sys.argv[1], exclude=(sys.argv[2],)),"
        " ScreeningConfig(), Path(sys.argv[3]),\n       lambda rows: print(rows,"
        " flush=True)).open()\nprint('done', flush=True)"
    )
    starts = []
    draw = random.Random(7)
    for _ in range(5):
        command = [
            sys.executable,
            "-c",
            program,
            str(source),
            str(evaluation),
            str(tmp_path / "killed"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            starts.append(child.stdout.readline().strip())
            time.sleep(draw.uniform(0, 0.05))
            child.send_signal(signal.SIGKILL)
        if starts[-1] == "done":
            break
    after = screened(source, tmp_path / "killed", (str(evaluation),))
    assert len({start for start in starts if start != "done"}) > 1, (
        "a later run began where the earlier one was killed"
    )
    assert sorted(after[0]) == sorted(whole[0])
    assert after[1].summary == whole[1].summary


def test_a_full_disk_while_screening_ends_with_exit_5(tmp_path: Path) -> None:
    source = write_problems(tmp_path / "x.jsonl", [made_up("training", n) for n in range(4000)])
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom generator.config import"
        " ProblemsConfig, ScreeningConfig\nfrom generator.intake import Intake\nfrom shared.errors"
        " import CannotWrite\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\ntry:\n  "
        "  Intake(ProblemsConfig(source=sys.argv[1]), ScreeningConfig(),"
        " Path(sys.argv[2])).open()\nexcept CannotWrite as stop:\n    print(stop)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "corpus")],
        capture_output=True,
        text=True,
        check=True,
        env=environment(measured=False),
    )
    assert out.stdout.startswith(f"{tmp_path / 'corpus/screening'}: ")
    assert "free some space, then run again" in out.stdout
