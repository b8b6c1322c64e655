"""An export to a hub that is a local server: one commit with data, held-out problems and card;
a refusal is a line.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.generator.corpora import trace, write_corpus
from tests.generator.process_runs import LONG, environment, free_port

HubState = tuple[str, dict[str, bytes], list[dict[str, Any]]]


class Hub(BaseHTTPRequestHandler):
    """The few calls of a small upload. Refuses every token but "good"."""

    files: dict[str, bytes]
    created: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != "Bearer good":
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self.created.append(json.loads(body))
            self._answer(
                200, {"url": f"{self._origin()}/datasets/me/set", "name": "me/set", "id": "1"}
            )
        elif self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                {"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names
            ]
            self._answer(200, {"files": modes})
        elif self.path.endswith("/commit/main"):
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            self._answer(
                200,
                {"commitUrl": f"{self._origin()}/datasets/me/set/commit/abc", "commitOid": "abc"},
            )
        else:
            self._answer(200, {"errors": [], "warnings": []})

    def do_GET(self) -> None:
        self._answer(
            200,
            {"id": "me/set", "sha": "abc", "siblings": [], "private": True, "lastModified": None},
        )

    def _origin(self) -> str:
        return f"http://{self.headers['Host']}"

    def _answer(self, status: int, row: dict[str, Any]) -> None:
        data = json.dumps(row).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[HubState]:
    files: dict[str, bytes] = {}
    requests: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (Hub,), {"files": files, "created": requests})
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files, requests
    server.shutdown()
    thread.join()
    server.server_close()


def export(corpus: Path, dest: str, **env: str) -> "subprocess.CompletedProcess[str]":
    line = [
        sys.executable,
        "-m",
        "generator",
        "export",
        str(corpus),
        dest,
        "--held-out",
        "0.2",
        "--license",
        "mit",
    ]
    home = environment(HF_HOME=str(corpus.parent / "hf"), HF_HUB_DISABLE_XET="1", **env)
    return subprocess.run(line, capture_output=True, text=True, check=False, env=home, timeout=LONG)


def test_a_data_set_is_pushed_with_its_card_and_held_out_problems(
    tmp_path: Path, hub: HubState
) -> None:
    url, files, requests = hub
    corpus = write_corpus(
        tmp_path / "c", [trace(f"What is {n} + 1?", 0, str(n + 1), str(n + 1)) for n in range(20)]
    )
    process = export(corpus, "hf:me/set", HF_ENDPOINT=url, HF_TOKEN="good")
    assert process.returncode == 0, process.stderr
    assert requests[0].get("private") or requests[0].get("visibility") == "private"
    assert set(files) == {"README.md", "data/train.parquet", "held-out.jsonl"}
    assert b"license: mit" in files["README.md"]
    assert files["held-out.jsonl"].count(b"\n") == 4
    assert f"{url}/datasets/me/set: 16 traces" in process.stdout


def test_a_refused_token_is_one_line_with_the_remedy(tmp_path: Path, hub: HubState) -> None:
    corpus = write_corpus(
        tmp_path / "c", [trace("What is 1 + 1?", 0, "2", "2"), trace("What is 3 + 1?")]
    )
    process = export(corpus, "hf:me/set", HF_ENDPOINT=hub[0], HF_TOKEN="bad-token")
    assert process.returncode == 2
    assert "set HF_TOKEN to a token that may write" in process.stderr
    assert process.stderr.count("\n") == 1
    assert "bad-token" not in process.stdout + process.stderr


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    corpus = write_corpus(
        tmp_path / "c", [trace("What is 1 + 1?", 0, "2", "2"), trace("What is 3 + 1?")]
    )
    process = export(
        corpus, "hf:me/set", HF_ENDPOINT=f"http://127.0.0.1:{free_port()}", HF_TOKEN="good"
    )
    assert process.returncode == 2, process.stderr
    assert "check OWNER/NAME and the network" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
