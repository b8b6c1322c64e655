"""The commit of a checkout: a changed file is told, and outside of one there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINT = "from shared.git_commit import git_commit; print(git_commit())"


def commit_in(checkout: Path) -> str:
    process = subprocess.run(
        [sys.executable, "-c", PRINT],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    return process.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository with our module in it."""
    (tmp_path / "shared").mkdir()
    for name in ("__init__.py", "git_commit.py"):
        shutil.copy(ROOT / "shared" / name, tmp_path / "shared" / name)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "add", "."], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], cwd=tmp_path, check=True)
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert commit_in(checkout) == head.stdout.strip()


def test_a_changed_file_is_told(checkout: Path) -> None:
    (checkout / "shared" / "__init__.py").write_text("# changed\n")
    assert commit_in(checkout).endswith("+changes")


def test_outside_of_a_checkout_there_is_no_commit(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert commit_in(checkout) == ""
