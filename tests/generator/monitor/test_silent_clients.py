"""Clients of the status server that say nothing, and the calls of the run that serves it."""

import json
import resource
import socket
import subprocess
from pathlib import Path

from tests.generator.process_runs import (
    LONG,
    command,
    configure,
    environment,
    eventually,
    free_port,
    rehearsal,
)

DESCRIPTORS = 200
CROWD = 300


def test_a_silent_crowd_at_the_server_takes_no_descriptor_that_a_call_needs(
    tmp_path: Path,
) -> None:
    port = free_port()
    with rehearsal("--tokens-per-second", "20") as teacher:
        config = configure(
            tmp_path, teacher.url, daemon__port=port, problems__limit=40, lane__concurrency=60
        )
        process = subprocess.Popen(
            command("run", config),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)
            ),
        )
        crowd: list[socket.socket] = []
        try:
            eventually(lambda: is_listening(port), "the server")
            crowd += [reaching_for(port) for _ in range(CROWD)]
            output, _ = process.communicate(timeout=LONG)
        finally:
            process.kill()
            process.wait()
            for client in crowd:
                client.close()
    assert process.returncode == 0, output
    rows = [
        json.loads(line)
        for path in (tmp_path / "corpus").glob("*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(rows) == 40
    assert "does not work" not in output
    assert "Traceback" not in output


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reaching_for(port: int) -> socket.socket:
    """A client that is being connected, by the kernel, as soon as there is room."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    return client
