"""One teacher and one run of one process, for all tests of runs in parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generator.parts.world import World, write_files
from tests.generator.process_runs import generator, rehearsal


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    write_files(folder)
    replay = str(folder / "answers.jsonl")
    with rehearsal("--latency", "0.25", "--replay", replay) as teacher:
        yield World(teacher, folder / "problems.jsonl")


@pytest.fixture(scope="session")
def single(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("single")
    assert generator("run", world.configure(folder)).returncode == 0
    return folder / "corpus"
