"""A real PostgreSQL of a test's own, from the system's package: started, killed, restarted."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.generator.process_runs import free_port

BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
PASSWORD = "s3cret-pass word"


class PostgresServer:
    """`url` has a password, which no file and no output may show."""

    def __init__(self, folder: Path) -> None:
        assert BIN is not None
        self._data = folder / "data"
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://stillhouse:s3cret-pass%20word@127.0.0.1:{self._port}/postgres"
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        command = [str(BIN / "initdb"), "-D", str(self._data), "-U", "stillhouse", "-A"]
        command += ["scram-sha-256", "--pwfile", str(password_file), "-N"]
        subprocess.run(command, check=True, capture_output=True, **_as_nobody(folder))

    def start(self) -> None:
        assert BIN is not None
        command = [str(BIN / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        command += [
            "-c",
            f"unix_socket_directories={self._folder}",
            "-c",
            "listen_addresses=127.0.0.1",
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, **_as_nobody(self._folder)
            )
        deadline = time.monotonic() + 30
        ready = [str(BIN / "pg_isready"), "-h", "127.0.0.1", "-p", str(self._port)]
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < deadline, (self._folder / "server.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """As after a power cut: nothing is said to anybody."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: PostgreSQL's immediate shutdown
            self._process.wait(timeout=30)
            self._process = None


def _as_nobody(folder: Path) -> dict[str, int | str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        if path.owner() == "root":
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "cwd": str(folder)}


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not pytest's, which is its user's alone
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
