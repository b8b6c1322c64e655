"""What the three programs' command lines have in common: `--version`, `--json`, `schema`."""

import argparse
import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping
from typing import Any

from shared.config import Config
from shared.git_commit import git_commit

COMMIT_LETTERS = 12


def version_line() -> str:
    """ "stillhouse 0.1.0 (commit 2cea709c7d1f), Python 3.11.2"."""
    try:
        release = importlib.metadata.version("stillhouse")
    except importlib.metadata.PackageNotFoundError:  # a checkout that was never set up
        release = "not installed"
    commit, _, changes = git_commit().partition("+")
    note = f" (commit {commit[:COMMIT_LETTERS]}{' with changes' if changes else ''})"
    return f"stillhouse {release}{note if commit else ''}, Python {platform.python_version()}"


class ShowVersion(argparse.Action):
    """`--version`: asks git only where it is given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "nargs": 0, "help": "release and commit, then end"})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the line and leave with exit code 0."""
        print(version_line())
        parser.exit()


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a command `--json`."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object instead of the text",
    )


def print_result(facts: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print a command's result, as a JSON object or as text."""
    print(json.dumps(facts, ensure_ascii=False) if as_json else text, flush=True)


def print_schema(model: type[Config]) -> int:
    """Print the JSON Schema of a configuration, for editors; the exit code."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **model.model_json_schema(),
    }
    json.dump(schema, sys.stdout, ensure_ascii=False, indent=1, default=str)
    print()
    return 0
