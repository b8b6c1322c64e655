"""A real HTTP server that speaks the part of ModelScope's protocol that reads and writes
repositories, as modelscope-hub 0.5.1 calls it.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ms-good"

Repositories = dict[str, dict[str, bytes]]  # "datasets/OWNER/NAME" -> its files


class ModelScopeServer:
    """Its address, its repositories, and the paths that were asked for."""

    def __init__(self, repositories: Repositories) -> None:
        self.repositories = repositories
        self.requests: list[str] = []
        self.visibility: dict[str, int] = {}
        self.licences: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}  # large files, by their sha256
        self._server = _HttpServer(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def modelscope(repositories: Repositories) -> Iterator[ModelScopeServer]:
    server = ModelScopeServer(repositories)
    try:
        yield server
    finally:
        server.stop()


class _HttpServer(ThreadingHTTPServer):
    def __init__(self, hub: ModelScopeServer) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    @property
    def _hub(self) -> ModelScopeServer:
        assert isinstance(self.server, _HttpServer)
        return self.server.hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self._hub.requests.append(self.path)
        repository, _, action = url.path.removeprefix("/api/v1/").partition("/repo")
        files = self._hub.repositories.get(repository)
        if files is None:
            self._reply({"Code": 10010205001, "Message": "no such repository"}, 404)
        elif action in ("/tree", "/files"):
            entries = [
                {"Name": path.split("/")[-1], "Path": path, "Type": "blob", "Size": len(body)}
                for path, body in files.items()
            ]
            self._reply({"Data": {"Files": entries}, "TotalCount": len(entries)})
        elif "FilePath" in query:
            self._send(files[query["FilePath"][0]], "application/octet-stream")
        else:
            self._reply({"Data": {"Id": 1, "Name": repository}})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._body()
        self._hub.requests.append(self.path)
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._reply({"Code": 401, "Message": "the token may not write"}, 401)
        elif "/commit/" in self.path:
            self._commit(body["actions"])
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._offer_uploads(body["objects"])
        else:
            self._make_repository(body)

    def _commit(self, actions: list[dict[str, Any]]) -> None:
        repository = self.path.removeprefix("/api/v1/repos/").partition("/commit/")[0]
        files = self._hub.repositories[repository]
        for action in actions:
            if action["type"] == "lfs":
                files[action["path"]] = self._hub.blobs[action["sha256"]]
            else:
                files[action["path"]] = base64.b64decode(action["content"])
        self._reply({"Data": {"oid": "abc"}})

    def _offer_uploads(self, objects: list[dict[str, Any]]) -> None:
        offers = []
        for each in objects:
            upload = {"href": f"{self._hub.url}/blob/{each['oid']}"}
            offers.append({"oid": each["oid"], "actions": {"upload": upload}})
        self._reply({"Data": {"objects": offers}})

    def _make_repository(self, body: dict[str, Any]) -> None:
        kind = self.path.removeprefix("/api/v1/").strip("/")
        owner = body.get("Path") or body.get("Owner")
        repository = f"{kind}/{owner}/{body['Name']}"
        if repository in self._hub.repositories:
            self._reply({"Code": 10020101001, "Message": "the name is already exists"}, 409)
            return
        self._hub.repositories[repository] = {}
        self._hub.visibility[repository] = int(body["Visibility"])
        self._hub.licences[repository] = body["License"]
        self._reply({"Data": {}})

    def do_PUT(self) -> None:
        length = int(self.headers["content-length"])
        self._hub.blobs[self.path.rpartition("/")[2]] = self.rfile.read(length)
        self._reply({"Data": {}})

    def _body(self) -> dict[str, Any]:
        """A JSON object, or the fields of a form, as data sets are created."""
        content = self.rfile.read(int(self.headers["content-length"]))
        kind = self.headers["content-type"]
        if not kind.startswith("multipart/"):
            return json.loads(content or b"{}")
        form = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload()
            for part in form.get_payload()
        }

    def _reply(self, body: dict[str, Any], status: int = 200) -> None:
        envelope = {"Code": 200, "Success": status == 200, "RequestId": "1", **body}
        self._send(json.dumps(envelope).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
