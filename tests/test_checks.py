"""The promises about how the code is checked: every way in runs the same commands, and the
typed marker is there.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("shared", "generator", "trainer", "evaluation")
NOTING = (
    '#!/bin/sh\n[ "$1" != -c ] || exit 0\necho "NAME $*" >> calls\n[ ! -e "fail-$2" ] || exit 1\n'
)
LINT = [
    "generator -m ruff format --check --quiet .",
    "generator -m ruff check --quiet .",
    "generator -m mypy shared generator --exclude ^shared/inference/",
    "trainer -m mypy trainer",
    "evaluation -m mypy evaluation shared/inference",
]


CHAOS = [
    "generator -m tests.chaos --seconds 180 --jobs 2 --first 0 --kinds ",
    "generator -m tests.fuzz --seconds 3",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environments are ready and only note what they are called with."""
    (tmp_path / "constraints").mkdir()
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    for name in ("generator", "trainer", "evaluation"):
        (tmp_path / "constraints" / f"{name}.txt").touch()
        python = tmp_path / ".venv" / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(NOTING.replace("NAME", name))
        python.chmod(0o755)
        (tmp_path / ".venv" / name / ".ready").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "chromium").symlink_to("/bin/true")  # or CI's script would install one
    return tmp_path


def calls(checkout: Path, *command: str) -> tuple[int, list[str]]:
    path = f"{checkout}/bin:/usr/local/bin:/usr/bin:/bin"
    process = subprocess.run(
        command,
        cwd=checkout,
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = (checkout / "calls").read_text().splitlines()
    (checkout / "calls").unlink()
    return process.returncode, lines


def test_ci_runs_what_make_check_runs_each_once_and_measures_coverage(checkout: Path) -> None:
    assert calls(checkout, "make", "check") == (0, [*LINT, *CHAOS, "generator -m tests.suite"])
    lines = [*LINT, *CHAOS, "generator -m tests.suite --coverage"]
    assert calls(checkout, ".ci/run") == (0, lines)


@pytest.mark.parametrize("broken", ["ruff", "mypy", "tests.chaos", "tests.suite"])
def test_ci_fails_where_a_check_fails_and_runs_the_tests_all_the_same(
    checkout: Path, broken: str
) -> None:
    (checkout / f"fail-{broken}").touch()
    code, lines = calls(checkout, ".ci/run")
    assert code != 0
    assert lines[-1] == "generator -m tests.suite --coverage"
    assert calls(checkout, "make", "check")[0] != 0


def test_make_test_fast_runs_the_unit_tests_alone(checkout: Path) -> None:
    assert calls(checkout, "make", "test-fast") == (0, ["generator -m tests.suite --unit"])


def test_make_chaos_takes_its_time_its_jobs_and_its_kinds(checkout: Path) -> None:
    words = ["make", "chaos", "SECONDS=900", "JOBS=8", "FIRST=40", "KINDS=kills,trainer"]
    stories = "generator -m tests.chaos --seconds 900 --jobs 8 --first 40 --kinds kills,trainer"
    assert calls(checkout, *words) == (0, [stories, "generator -m tests.fuzz --seconds 30"])


def test_the_workflow_runs_make_check() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
    assert workflow["jobs"]["check"]["steps"][-1]["run"].startswith("make check")


def test_the_hooks_are_local_and_are_the_tools_of_make_lint() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    makefile = (ROOT / "Makefile").read_text()
    for hook in repository["hooks"]:
        words = hook["entry"].replace("ruff check --fix", "ruff check").partition(" ")[2]
        assert words in makefile
        assert (hook["language"], hook["entry"].split("/")[0]) == ("system", ".venv")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_the_typed_marker_that_pyproject_promises(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
