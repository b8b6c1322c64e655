"""The commit of this checkout, for the manifests."""

import subprocess
from pathlib import Path

GIT_SECONDS = 5.0  # a slow disk must not hold up a start


def git_commit() -> str:
    """The commit, with "+changes" where tracked files differ from it; "" outside of a checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return ""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changes else commit


def _git(*arguments: str) -> str:
    """What git says of this checkout; "" where it cannot say it soon."""
    root = Path(__file__).resolve().parent
    try:
        process = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.strip()
