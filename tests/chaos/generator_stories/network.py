"""Hostile teachers: replies of every mode, storms of them, servers that are gone."""

import contextlib
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request

from tests.chaos import teacher_modes
from tests.chaos.generation import DONE, NO_LANE, Generation, always
from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import Story
from tests.chaos.teacher_modes import MODES, plain

# After these a lane may be given up: they say nothing about when it will answer again.
MAY_END_A_LANE = {*teacher_modes.FAULTY_REPLIES, "error_event", "surrogate_error", "deep_error"}
MOST_MEGABYTES = 600
# What a client waits for until a timeout would make a storm of minutes.
STORMS = [mode for mode in MODES if mode not in (*teacher_modes.WAITING, "huge_body")]
QUICK = [mode for mode in STORMS if mode not in ("redirect", "gzip_bomb", "odd_location")]
DASHBOARD = re.compile(r"dashboard: http://127\.0\.0\.1:(\d+)")


def resident_megabytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as file:
            match = re.search(r"VmHWM:\s+(\d+)", file.read())
    except OSError:
        return 0
    return int(match[1]) // 1024 if match else 0


def codes_after(mode: str) -> set[int]:
    return {DONE, NO_LANE} if mode in MAY_END_A_LANE else {DONE}


@kind("generator", share=12)
def hostile_replies(story: Story) -> None:
    """Four in ten first answers are of one mode (the seed's); then log, report and export too."""
    mode = MODES[story.seed % len(MODES)]
    story.note(mode)
    generation = Generation(story)

    def choose(problem: int, nth: int, rng: object) -> str:
        hostile = nth == 1 and (problem == 0 or story_draw(story, problem) < 0.4)
        return mode if hostile else ("plain", "slow")[problem % 2]

    generation.prepare(14, choose, lane__concurrency=6, daemon__give_up_minutes=0.5)
    process = generation.run()
    peak = 0
    while process.wait(0.15) is None and peak < 4 * MOST_MEGABYTES:
        peak = max(peak, resident_megabytes(process.pid))
    code = story.end(process, codes_after(mode), f"run with {mode}")
    if peak > MOST_MEGABYTES:
        story.violation(f"{mode}: {peak} MB resident")
    generation.complete(whole=code == DONE)
    readable(story, process, mode)
    words = {
        "status": [generation.corpus],
        "report": [generation.corpus],
        "export": [generation.corpus, story.folder / "export.jsonl"],
    }
    for name in story.rng.sample(list(words), 1):
        reader = generation.command(name, *words[name])
        story.end(reader, {0, 2} if name == "export" else {0}, f"{name} after {mode}")
        readable(story, reader, mode)
    page = generation.corpus / "report.html"
    if page.exists() and "<script>window.pwned" in page.read_text():
        story.violation(f"{mode}: report.html holds the teacher's script as markup")


def story_draw(story: Story, problem: int) -> float:
    """A number from 0 to 1 that a problem always has in this story."""
    return (story.seed * 7919 + problem * 104_729) % 1000 / 1000


def readable(story: Story, process: Process, mode: str) -> None:
    """No terminal codes and no forged line in what a program prints."""
    text = process.text()
    if "\x1b" in text:
        story.violation(f"{mode}: terminal codes in the output of {process.name}")
    if any(line.startswith('level=error event="forged') for line in text.splitlines()):
        story.violation(f"{mode}: a forged line in the output of {process.name}")


@kind("generator", share=6)
def storms(story: Story) -> None:
    """Every first answer is of one mode: the circuit opens, dashboard and metrics are read."""
    mode = STORMS[story.seed % len(STORMS)]
    story.note(mode)
    generation = Generation(story)
    generation.prepare(
        10,
        lambda problem, nth, rng: mode if nth == 1 else "plain",
        lane__concurrency=6,
        daemon__port=free_port(),
        daemon__give_up_minutes=1.5,
        lane__price_out=10.0,
        lane__usd_total=100.0,
    )
    process = generation.run()
    deadline = time.monotonic() + 60
    while process.wait(0.3) is None and time.monotonic() < deadline:
        read_dashboard(story, process, mode)
    code = story.end(process, codes_after(mode), f"run in a storm of {mode}")
    generation.complete(whole=code == DONE)
    readable(story, process, mode)


def free_port() -> int:
    """A port that nobody has now; several stories play at once."""
    for port in iter(lambda: 20_000 + time.monotonic_ns() % 12_000, 0):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("never: the iterator has no end")


def read_dashboard(story: Story, process: Process, what: str) -> None:
    match = DASHBOARD.search(process.text())
    if match is None:
        return
    for path in ("status", "metrics", "traces", "history"):
        try:
            url = f"http://127.0.0.1:{match[1]}/{path}"
            with urllib.request.urlopen(url, timeout=5) as reply:
                data = reply.read()
        except urllib.error.HTTPError as error:
            story.violation(f"{what}: /{path} answers {error.code}")
        except (OSError, ValueError):
            return
        else:
            (story.folder / f"{path}.txt").write_bytes(data)


@kind("generator", share=4)
def mixed_replies(story: Story) -> None:
    """All modes together, with kills."""
    generation = Generation(story)
    generation.prepare(
        30,
        lambda problem, nth, rng: rng.choice(QUICK) if nth == 1 else "slow",
        daemon__give_up_minutes=0.3,
    )
    for _ in range(story.rng.randint(1, 3)):
        process = generation.run()
        generation.moment(process)
        if not generation.kill_and_look(process):
            break
    code = story.end(generation.run(), {DONE, NO_LANE}, "last run")
    generation.complete(whole=code == DONE)


@kind("generator")
def closed_port(story: Story) -> None:
    """The server's port closes for a while."""
    generation = Generation(story)
    generation.prepare(24, gap=0.008)
    process = generation.run()
    generation.answered(process, 4)
    generation.teacher.listen(False)
    process.wait(story.rng.uniform(0.2, 2))
    generation.teacher.listen(True)
    if story.rng.random() < 0.4:
        generation.kill_and_look(process)
        generation.finish()
    else:
        story.end(process, {DONE})
        generation.complete()


@kind("generator")
def no_server(story: Story) -> None:
    """A port where nobody listens, a name that does not resolve: exit 4 or 2, nothing lost."""
    generation = Generation(story)
    generation.serve(always("plain"))
    generation.write_problems(5)
    urls = (
        "http://127.0.0.1:9/v1",
        "http://no-such-host.invalid/v1",
        "http://[::1]:9/v1",
        f"http://{'a' * 300}.invalid/v1",
        "http://xn--/v1",
        f"https://127.0.0.1:{generation.teacher.port}/v1",
    )
    url = story.rng.choice(urls)
    story.note(url[:40])
    generation.configure(lane__base_url=url, daemon__give_up_minutes=0.03)
    story.end(generation.run(), {NO_LANE, 2}, f"run against {url[:40]}")
    generation.configure()
    generation.finish()


@kind("generator")
def key_in_a_refusal(story: Story) -> None:
    """The server refuses and repeats the key, whole and in parts: exit 4, no part is shown."""
    generation = Generation(story)
    generation.prepare(5, always("plain"), daemon__wait=False)
    status = story.rng.choice((401, 402, 403, 404))
    key = story.key
    message = (
        f"Incorrect key {key}. masked {key[:8]}****{key[-4:]} encoded"
        f" {key.replace('-', '%2D')} tail {key[-9:]}"
    )
    body = json.dumps({"error": {"message": message}})
    generation.teacher.refusal = plain(f"{status} X", body, more=f"X-Key: {key}\r\n")
    processes = [generation.run(), generation.command("plan", generation.config, "--probe")]
    for process in processes:
        story.end(process, {NO_LANE}, f"{process.name} refused with {status}")
        for part in (key[-9:], key[:12]):
            if part in process.text():
                story.violation(f"{len(part)} characters of the key are shown after {status}")
    generation.teacher.refusal = None
    generation.finish()


@kind("generator")
def password_in_the_address(story: Story) -> None:
    """A password in base_url: nowhere in files or output, whatever the server answers."""
    generation = Generation(story)
    generation.serve(always("plain"))
    generation.write_problems(3)
    status = story.rng.choice((400, 401, 404, 307, 500))
    secret = f"pw{story.rng.getrandbits(80):020x}"
    body = '{"error": {"message": "model not found"}}'
    generation.teacher.refusal = plain(f"{status} X", body, more="Location: /elsewhere\r\n")
    generation.configure(
        lane__base_url=f"http://user:{secret}@127.0.0.1:{generation.teacher.port}/v1",
        lane__api_key_env="",
        daemon__give_up_minutes=0.03,
        daemon__wait=False,
    )
    story.end(generation.run(), {NO_LANE, DONE, 2}, f"run with a password, {status}")
    story.end(generation.command("status", generation.corpus), {0, 2}, "status")
    for path in story.folder.rglob("*"):
        if path.is_file() and path.suffix != ".toml" and secret.encode() in path.read_bytes():
            story.violation(f"{status}: the password stands in {path.relative_to(story.folder)}")


@kind("generator")
def hanging_calls(story: Story) -> None:
    """A teacher that says nothing: calls time out, a drain does not wait for them, a kill neither."""
    generation = Generation(story)
    generation.prepare(
        10,
        lambda problem, nth, rng: "silent" if nth == 1 and problem % 3 == 0 else "plain",
        timeouts__first_token=1.5,
        daemon__drain_seconds=1,
    )
    process = generation.run()
    story.until(lambda: len(generation.teacher.calls) >= 4, process)
    if story.rng.random() < 0.5:
        process.send(signal.SIGTERM)
        began = time.monotonic()
        story.end(process, {DONE}, "drain of hanging calls")
        if time.monotonic() - began > 20:
            story.violation("a drain of 1 s took more than 20 s")
        generation.look()
    else:
        generation.kill_and_look(process)
    generation.finish()
