"""What stories of one root share: made by the first that needs it, read by all."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.chaos.processes import Programs, plain_variables


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` where it is not there yet; other workers wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = folder.with_name(folder.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
    return folder


def inputs(programs: Programs, program: str, root: Path) -> Path:
    """The models and data of a program's stories."""

    def make(folder: Path) -> None:
        command = [programs.python(program), "-m", "tests.chaos.tiny_inputs", program, str(folder)]
        variables = plain_variables(programs.root)
        made = subprocess.run(
            command, cwd=programs.root, env=variables, capture_output=True, text=True
        )
        if made.returncode:
            raise RuntimeError(made.stderr[-1500:])

    return once(root / f"inputs-{program}", make)
