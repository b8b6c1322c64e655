"""`make demo`: four ordinary steps that fit together, each in its own environment, each going
on where it stopped.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.config import EvaluationConfig
from generator.config import GeneratorConfig
from shared.config import load
from shared.holdout import held_out_problems
from trainer.config import TrainerConfig

ROOT = Path(__file__).parents[1]
STEPS = [
    "generator -m generator run configs/demo-generate.toml",
    "trainer -m trainer weights smollm2-135m .cache/models/smollm2-135m",
    "trainer -m trainer run configs/demo-train.toml",
    "evaluation -m evaluation run configs/demo-evaluate.toml",
]

# In place of each environment's Python: notes its call, then does what the file `do-PROGRAM` says.
PYTHON = """#!/bin/sh
[ "$1" != -c ] || exit 0  # whether it works is not a call
echo "NAME $*" >> calls
case "$1 $2 $3" in "-m generator run"|"-m trainer run"|"-m evaluation run") . ./do-NAME ;; esac
"""


def make(
    folder: Path, *words: str, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *words],
        cwd=folder,
        env=env or clean(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def clean(**more: str) -> dict[str, str]:
    """The environment without a display, and without what an outer make left in it."""
    left_out = ("DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CONFIG")
    return {name: value for name, value in os.environ.items() if name not in left_out} | more


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environments are ready and whose programs do nothing."""
    (tmp_path / "constraints").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("generator", "trainer", "evaluation"):
        (tmp_path / "constraints" / f"{name}.txt").touch()
        python = tmp_path / ".venv" / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON.replace("NAME", name))
        python.chmod(0o755)
        (tmp_path / f"do-{name}").write_text("true\n")
    for name in ("generator", "trainer", "evaluation"):
        (tmp_path / ".venv" / name / ".ready").touch()
    return tmp_path


def test_the_demo_is_the_ordinary_steps_with_its_configurations_and_ends_with_the_report(
    checkout: Path,
) -> None:
    process = make(checkout, "demo")
    assert process.returncode == 0, process.stderr
    assert calls(checkout) == STEPS
    assert (
        process.stdout.splitlines()[-1]
        == f"the report: {checkout}/runs/demo/evaluation/report.html"
    )


def test_the_report_is_opened_only_where_there_is_a_display(checkout: Path) -> None:
    opener = checkout / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text("#!/bin/sh\necho opened $* >> calls\n")
    opener.chmod(0o755)
    path = f"{opener.parent}:{os.environ['PATH']}"
    assert make(checkout, "demo", env=clean(PATH=path)).returncode == 0
    assert calls(checkout) == STEPS
    assert make(checkout, "demo", env=clean(PATH=path, DISPLAY=":0")).returncode == 0
    assert calls(checkout)[len(STEPS) :] == [*STEPS, "opened runs/demo/evaluation/report.html"]


@pytest.mark.parametrize(
    ("program", "reached"), [("generator", 1), ("trainer", 3), ("evaluation", 4)]
)
def test_a_step_that_fails_ends_the_demo_there_and_the_next_run_completes_it(
    checkout: Path, program: str, reached: int
) -> None:
    (checkout / f"do-{program}").write_text("exit 5\n")
    assert make(checkout, "demo").returncode != 0
    assert calls(checkout) == STEPS[:reached]
    (checkout / f"do-{program}").write_text("true\n")
    assert make(checkout, "demo").returncode == 0
    assert calls(checkout)[reached:] == STEPS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_though_the_running_step_drains_and_exits_0(
    checkout: Path, number: signal.Signals
) -> None:
    (checkout / "do-generator").write_text(
        # make hands on the SIGTERM that its whole group got: the step sees it twice
        "trap 'trap \"\" INT TERM; echo drained >> calls; exit 0' INT TERM\nwhile :; do sleep 0.1;"
        " done\n"
    )
    running = subprocess.Popen(
        ["make", "demo"],
        cwd=checkout,
        env=clean(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a background job starts with it ignored
    )
    try:
        wait_for(checkout / "calls")
        time.sleep(0.5)  # the step's trap is set after its call is noted
        os.killpg(running.pid, number)  # as Ctrl-C in a terminal does
        assert running.wait(timeout=30) != 0
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    assert calls(checkout) == [STEPS[0], "drained"]


def test_each_step_finds_what_the_step_before_it_leaves() -> None:
    generator = load(GeneratorConfig, ROOT / "configs/demo-generate.toml", [])
    trainer = load(TrainerConfig, ROOT / "configs/demo-train.toml", [])
    evaluation = load(EvaluationConfig, ROOT / "configs/demo-evaluate.toml", [])
    assert trainer.corpora == (generator.corpus,)
    assert evaluation.models == [trainer.model, f"{trainer.run}/merged"]
    assert evaluation.benchmarks == [f"held-out:{generator.corpus}"]
    assert f"weights smollm2-135m {trainer.model}" in STEPS[1]
    assert evaluation.generation.prompt == generator.sampling.prompt


def test_a_hundred_problems_are_held_out_however_many_answers_the_teacher_gets_wrong() -> None:
    generator = load(GeneratorConfig, ROOT / "configs/demo-generate.toml", [])
    trainer = load(TrainerConfig, ROOT / "configs/demo-train.toml", [])
    evaluation = load(EvaluationConfig, ROOT / "configs/demo-evaluate.toml", [])
    kept_traces = [
        str(number) for number in range(round(0.87 * generator.problems.limit))
    ]  # 8 of 100 are wrong on average
    assert (
        len(held_out_problems(kept_traces, trainer.train.holdout, trainer.train.seed))
        >= evaluation.limit
        == 100
    )


@pytest.fixture
def killed_corpus(tmp_path: Path) -> tuple[Path, list[str]]:
    """The demo's first step, killed once it has some traces."""
    corpus = tmp_path / "corpus"
    command = [
        sys.executable,
        "-m",
        "generator",
        "run",
        "configs/demo-generate.toml",
        "--set",
        "problems.limit=150",
    ]
    command += [
        "--set",
        f"corpus={corpus}",
        "--set",
        "rehearsal.tokens_per_second=12",
        "--set",
        "daemon.port=0",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            wait_for(corpus / "traces" / "shard-000000.jsonl.open", size=1000)
        finally:
            running.kill()
    return corpus, command


def test_a_killed_first_step_is_completed_by_the_same_command(
    killed_corpus: tuple[Path, list[str]],
) -> None:
    corpus, command = killed_corpus
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stderr
    rows = [
        json.loads(line)
        for path in corpus.glob("*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len({row["id"] for row in rows}) == len(rows) == 150
    kept_traces = [
        row
        for path in corpus.glob("traces/*.jsonl")
        for row in map(json.loads, path.read_text().splitlines())
    ]
    assert {row["verdict"] for row in kept_traces} == {"correct"}


def wait_for(path: Path, size: int = 1, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size >= size):
        assert time.monotonic() < ends, f"{path} did not come"
        time.sleep(0.02)
