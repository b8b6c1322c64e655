"""Strange clients of the generator's own HTTP server."""

import errno
import socket
import urllib.error
import urllib.request

from tests.chaos.generation import DONE, INPUT, Generation, always
from tests.chaos.generator_stories.network import DASHBOARD, free_port
from tests.chaos.kinds import kind
from tests.chaos.story import Story

HEADERS = [
    "Host: [",
    "Host: evil.example",
    "Host: \0",
    "Origin: http://[",
    "Origin: null",
    "Origin: \xff",
    "Authorization: Bearer",
    "Authorization: Bearer \xff\xfe",
    "Authorization: Basic ====",
    "Authorization: Basic \xff",
    "Authorization: " + "a" * 9000,
    "Content-Length: -1",
    "Content-Length: 99999999999",
    "Transfer-Encoding: chunked",
    "Sec-Fetch-Site: cross-site",
    "Cookie: a=b",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "X: " + "y" * 70_000,
    "Content-Encoding: gzip",
    "Range: bytes=0-1",
]
PATHS = [
    "/",
    "/status",
    "/history?since=" + "9" * 400,
    "/history?since=%ff",
    "/traces",
    "/metrics",
    "/%00",
    "/../../etc/passwd",
    "//evil.example/status",
    "/lanes/%00/pause",
    "/lanes/only/pause",
    "/pause",
    "/drain",
    "/reload",
    "*",
    "http://evil.example/status",
    "/" + "a" * 20_000,
    "/status#\xff",
]
METHODS = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "X" * 500, "GE\0T", "PRI")
VERSIONS = ("1.1", "1.1", "1.0", "2.0", "9", "")


@kind("generator")
def odd_requests(story: Story) -> None:
    """Hundreds of malformed requests to the server: no 5xx, no traceback, nothing done by them."""
    generation = Generation(story)
    generation.prepare(24, always("slow"), gap=0.012, daemon__port=free_port())
    process = generation.run()
    story.until(lambda: DASHBOARD.search(process.text()) is not None, process)
    match = DASHBOARD.search(process.text())
    rng = story.rng
    for _ in range(200 if match else 0):
        if not process.alive:
            break
        headers = ["Host: localhost"] if rng.random() < 0.8 else []
        headers += rng.sample(HEADERS, rng.randint(0, 4))
        first = f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{rng.choice(VERSIONS)}"
        request = "\r\n".join([first, *headers, "", ""]).encode("latin-1")
        reply = send(int(match[1]) if match else 0, request)
        if reply[9:10] == b"5":
            story.violation(f"{reply[:15]!r} to {request[:160]!r}")
        if story.token.encode() in reply or story.key.encode() in reply:
            story.violation(f"a secret in the reply to {request[:100]!r}")
    story.end(process, {DONE}, "run under malformed requests")
    generation.complete()


def send(port: int, request: bytes) -> bytes:
    """The first bytes of the reply, or none."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(0.5)
            connection.sendall(request)
            return connection.recv(300)
    except OSError:
        return b""


@kind("generator", share=1)
def idle_clients(story: Story) -> None:
    """Clients that connect and say nothing take no descriptor from the calls."""
    generation = Generation(story)
    generation.prepare(20, daemon__port=free_port(), daemon__give_up_minutes=1)
    process = generation.run(limits={"NOFILE": 200})
    story.until(lambda: DASHBOARD.search(process.text()) is not None, process)
    match = DASHBOARD.search(process.text())
    clients = []
    for _ in range(250 if match else 0):
        try:
            clients.append(socket.create_connection(("127.0.0.1", int(match[1])), 1))  # type: ignore[index]
        except OSError as error:
            if error.errno == errno.EMFILE:
                break
            continue
    story.end(process, {DONE}, "run with 250 idle clients and ulimit -n 200")
    for client in clients:
        client.close()
    generation.complete()


@kind("generator", share=1)
def open_address(story: Story) -> None:
    """daemon.host = 0.0.0.0: refused without a token; with one, nothing is read without it."""
    generation = Generation(story)
    port = free_port()
    generation.prepare(16, always("slow"), gap=0.02, daemon__port=port, daemon__host="0.0.0.0")
    story.end(generation.run(variables={"GENERATOR_TOKEN": ""}), {INPUT}, "run without a token")
    process = generation.run()
    story.until(lambda: "dashboard:" in process.text(), process)
    for path in ("", "status", "traces", "metrics", "history", "healthz"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as reply:
                status = reply.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            break
        if (status == 200) != (path == "healthz"):
            story.violation(f"/{path} answers {status} without the token")
    process.send(15)
    story.end(process, {DONE}, "drained run")
    generation.finish()
