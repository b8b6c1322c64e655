"""tests/suite.py, as `make test` calls it, on a small project: what failed runs once more,
alone, and both are told.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# In place of the environment's own Python, whose packages the small project needs too.
PYTHON = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
FAILS_ONCE = """
def test_{name}(request):
    mark = request.config.rootpath / "{name}"
    if not mark.exists():
        mark.touch()
        raise AssertionError("the first time, {name}")
"""
GOOD = "def test_good(): pass\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with one environment, one package and, until a test adds more, one good test."""
    for name in ("__init__.py", "conftest.py", "suite.py", "failures.py"):
        (tmp_path / "tests").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "generator" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    add(tmp_path, "good", GOOD)
    return tmp_path


def add(project: Path, name: str, source: str) -> None:
    (project / "tests" / f"test_{name}.py").write_text(source)


def suite(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    outer = ("PYTEST_", "COVERAGE_", "COV_")  # of the run that this test is part of
    quick = {"PYTHONPATH": str(project), "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:anyio"}
    variables = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    command = [sys.executable, "-m", "tests.suite", "generator", *words]
    return subprocess.run(
        command, cwd=project, env=variables | quick, capture_output=True, text=True, timeout=240
    )


def test_the_last_lines_are_pytests_own_closing_lines_of_every_part(project: Path) -> None:
    add(project, "timed", "import pytest\n@pytest.mark.timing\ndef test_timed(): pass\n")
    process = suite(project)
    assert process.returncode == 0, process.stdout + process.stderr
    cores, timing = process.stdout.splitlines()[-2:]
    assert cores.startswith("generator, on all cores: 1 passed")
    assert timing.startswith("generator, timing: 1 passed in")


def test_a_test_that_passes_only_when_run_again_is_named_flaky_with_its_first_failure(
    project: Path,
) -> None:
    add(project, "unsure", FAILS_ONCE.format(name="unsure"))
    process = suite(project)
    assert process.returncode == 0, process.stdout + process.stderr
    flaky_report = process.stdout.partition(
        "flaky: generator: tests/test_unsure.py::test_unsure\n"
    )[2]
    assert "AssertionError: the first time, unsure" in flaky_report
    assert process.stdout.splitlines()[-1].startswith("generator, once more, alone: 1 passed")


@pytest.mark.parametrize(("count", "code"), [(2, 0), (3, 1)])
def test_three_flaky_tests_fail_the_run_and_two_do_not(
    project: Path, count: int, code: int
) -> None:
    for name in ("a", "b", "c")[:count]:
        add(project, name, FAILS_ONCE.format(name=name))
    process = suite(project)
    assert process.returncode == code
    assert process.stdout.count("flaky: generator: ") == count
    assert ("failed: 3 flaky tests, of which 2 are allowed" in process.stdout) == (code == 1)


def test_a_test_that_fails_twice_fails_the_run_and_is_not_flaky(project: Path) -> None:
    add(project, "bad", "def test_bad(): assert False\n")
    process = suite(project)
    assert process.returncode == 1
    assert "failed: generator: tests/test_bad.py::test_bad" in process.stdout
    assert "flaky:" not in process.stdout


def test_a_file_that_cannot_be_collected_fails_the_run(project: Path) -> None:
    add(project, "torn", "import no_such_module\n")
    process = suite(project)
    assert process.returncode == 1
    assert "failed: generator" in process.stdout


def test_what_measures_time_runs_alone_and_what_starts_processes_is_no_unit_test(
    project: Path,
) -> None:
    """By what a test reaches through fixtures and helpers, not by where it stands."""
    helper = "import contextlib, subprocess\n@contextlib.contextmanager\ndef started():\n"
    (project / "tests" / "helper.py").write_text(helper + "    yield subprocess.run(['true'])\n")
    source = "import pytest\nfrom tests import helper\nfrom tests.helper import started\n"
    source += "@pytest.fixture\ndef child():\n    with started() as it:\n        yield it\n"
    source += (
        "def test_by_fixture(child): pass\ndef test_by_module():\n    with helper.started(): pass\n"
    )
    source += "def chromium(): pass\ndef test_drives(): chromium()\n"
    source += (
        "def test_alone(): pass\n@pytest.mark.timing\ndef test_timed(worker_id): assert worker_id"
        " == 'master'\n"
    )
    source += "def save_model(): pass\ndef test_trains(): save_model()\n"
    source += "@pytest.mark.slow\ndef test_waits(): pass\n"
    add(project, "marks", source)
    assert collected(project, "unit") == ["test_good", "test_alone"]
    assert collected(project, "process") == ["test_by_fixture", "test_by_module"]
    assert collected(project, "browser") == ["test_drives"]
    assert collected(project, "timing") == ["test_timed"]
    assert collected(project, "model") == ["test_trains"]
    assert collected(project, "slow") == ["test_waits"]
    assert "generator, unit: 2 passed" in suite(project, "--unit").stdout
    assert suite(project).returncode == 0


def test_unit_tests_that_fail_run_once_more_and_their_output_is_shown(project: Path) -> None:
    add(project, "bad", "def test_bad(): assert 'torn' == 'whole'\n")
    process = suite(project, "--unit")
    assert process.returncode == 1
    assert "failed: generator: tests/test_bad.py::test_bad" in process.stdout
    assert process.stdout.index("== generator: unit") < process.stdout.index("'torn' == 'whole'")
    assert "generator, once more, alone: 1 failed" in process.stdout


def collected(project: Path, mark: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", mark, "tests"]
    lines = subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line.partition("::")[2] for line in lines if "::" in line]


def test_coverage_counts_the_lines_that_started_processes_run_by_package(project: Path) -> None:
    for package in ("shared", "generator", "trainer", "evaluation"):
        (project / package).mkdir()
        (project / package / "__init__.py").touch()
    (project / "generator" / "__main__.py").write_text("a = 1\nif a > 1:\n    b = 2\n    b = 3\n")
    (project / "shared" / "used.py").write_text("a = 1\n")
    source = "import os, pathlib, subprocess, sys\nimport shared.used\n"
    source += "def test_it(tmp_path):\n    environment = os.environ | {'PYTHONPATH': os.getcwd()}\n"
    source += (
        "    subprocess.run([sys.executable, '-m', 'generator'], cwd=tmp_path, env=environment,"
        " check=True)\n"
    )
    add(project, "covered", source)
    process = suite(project, "--coverage")
    assert process.returncode == 0, process.stdout + process.stderr
    coverage_lines = (
        "== coverage: shared 100.0%, generator 50.0%, trainer 0.0%, evaluation 0.0%; all 60.0% of"
        " lines"
    )
    assert coverage_lines in process.stdout.splitlines()
    assert not list(project.glob(".coverage*"))


def test_a_torn_file_of_what_was_measured_is_left_out_and_fails_nothing(project: Path) -> None:
    (project / "shared").mkdir()
    (project / "shared" / "__init__.py").touch()
    (project / "shared" / "used.py").write_text("a = 1\n")
    source = "import os, sqlite3, shared.used\nfrom coverage import CoverageData\n"
    source += "def test_it():\n    for number in (1, 2):\n"
    source += "        data = CoverageData(os.environ['COVERAGE_FILE'] + f'.torn{number}')\n"
    source += "        data.add_lines({shared.used.__file__: [1]})\n        data.write()\n"
    source += "        with sqlite3.connect(data.data_filename()) as database:\n"
    source += "            database.execute('UPDATE line_bits SET numbits = \"torn\"')\n"
    add(project, "torn", source)
    process = suite(project, "--coverage")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "coverage: Couldn't use data file" in process.stdout
    assert "== coverage: shared 100.0%" in process.stdout
