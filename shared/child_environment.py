"""What a child process is told of its owner's environment."""

import os
from collections.abc import Collection
from pathlib import Path

# What a child needs of its owner's environment. Keys and tokens are not for a process that reads
# strangers' texts.
_VARIABLES = frozenset(
    {"HOME", "LANG", "LANGUAGE", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"}
)
_PREFIXES = ("DYLD_", "LC_", "LD_", "MALLOC_", "OMP_", "PYTHON", "SYMPY_")


def package_root() -> Path:
    """The folder that holds this very package, for the PYTHONPATH of others."""
    return Path(__file__).resolve().parents[1]


def python_path() -> str:
    """A PYTHONPATH with which a child finds this very package, and what this process finds."""
    paths = [str(package_root()), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)


def child_environment(more_variables: Collection[str] = ()) -> dict[str, str]:
    """The environment of a child: it finds this very package, nothing of the current folder,
    and no secret.

    `more_variables`: names that this kind of child needs too.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if name in _VARIABLES or name in more_variables or name.startswith(_PREFIXES)
    }
    return {
        **variables,
        "PYTHONPATH": python_path(),
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "ignore",
    }
