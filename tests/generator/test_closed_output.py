"""The commands with an output that nobody reads: `… | true`, `… >&-`. The work and its exit code are
the same.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.generator.corpora import trace, write_corpus
from tests.generator.process_runs import (
    LONG,
    command,
    configure,
    environment,
    generator,
    rehearsal,
    rows,
)


def code_of(*arguments: str | Path, closed: bool) -> int:
    """Its exit code, with a closed descriptor as output or a pipe whose reader has left."""
    program = command(*arguments)
    if closed:
        program = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *program]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.run(
            program, env=environment(), stdout=writer, stderr=writer, check=False, timeout=LONG
        )
    finally:
        os.close(writer)
    return process.returncode


@pytest.mark.parametrize("closed", [False, True], ids=["reader left", "closed"])
def test_a_run_works_to_its_end_and_is_done(tmp_path: Path, closed: bool) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url)
        assert code_of("run", config, closed=closed) == 0
    assert len(rows(tmp_path / "corpus")) == 20
    assert generator("check", tmp_path / "corpus").returncode == 0


@pytest.mark.parametrize("closed", [False, True], ids=["reader left", "closed"])
def test_commands_that_only_tell_end_with_the_code_of_what_they_saw(
    tmp_path: Path, closed: bool
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [trace("What is 2+2?")])
    config = configure(tmp_path, "http://127.0.0.1:9/v1")
    assert code_of("reindex", corpus, closed=closed) == 0
    for name in ("check", "status", "report"):
        assert code_of(name, corpus, closed=closed) == 0, name
    assert code_of("plan", config, closed=closed) == 0
    assert code_of("plan", tmp_path / "missing.toml", closed=closed) == 2
    shard = corpus / "traces" / "shard-000000.jsonl"
    shard.write_bytes(shard.read_bytes() + b"torn")
    assert code_of("check", corpus, closed=closed) == 1
