"""Odd inputs: problem files that grow, are many or hold odd lines, hostile configurations."""

import re

from tests.chaos.generation import CANNOT_WRITE, DONE, INPUT, NO_LANE, Generation, always
from tests.chaos.kinds import kind
from tests.chaos.story import Story
from tests.chaos.teacher import problem_line


def _line(text: str, number: int = 90) -> bytes:
    return problem_line(number, text).encode()


ODD_LINES: dict[str, bytes] = {
    "nul": _line(" a\0b"),
    "surrogate": _line(" x").replace(b" x", b" \\ud83d "),
    "long": _line(" x" * 1_000_000),
    "deep": b'{"problem": ' + b"[" * 100_000 + b"\n",
    "half": b'{"problem": "Story prob',
    "types": b'{"problem": 7, "answer": [1]}\n{"problem": null}\n[]\n7\n"x"\n',
    "latin": _line(" x").replace(b" x", b" \xe9"),
    "blank": b"\n\n  \n",
    "line_separator": _line(" a\u2028b"),
    "not_a_number": _line("").replace(b'"724"', b"NaN"),
    "long_number": _line("").replace(b'"724"', b"9" * 5000),
    "mark": b"",
    "windows": b"",
    "twice": b"",
}


@kind("generator")
def odd_problems(story: Story) -> None:
    """Odd lines in the problem file: skipped and counted, or exit 2 with the line."""
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    generation.write_problems(8)
    how = list(ODD_LINES)[story.seed % len(ODD_LINES)]
    story.note(how)
    data = generation.source.read_bytes()
    changed = {
        "mark": b"\xef\xbb\xbf" + data,
        "windows": data.replace(b"\n", b"\r\n"),
        "twice": data + data,
    }
    generation.source.write_bytes(changed.get(how, data + ODD_LINES[how]))
    generation.configure(problems__on_bad_line=story.rng.choice(("stop", "skip")))
    process = generation.run()
    code = story.end(process, {DONE, INPUT}, f"run with odd problems: {how}")
    if code == DONE:
        generation.samples = None
        generation.complete(whole=how != "long")
    elif not re.search(r"problems\.jsonl:\d+", process.text()):
        story.violation(f"{how}: exit 2 without the line: {process.text()[-300:]!r}")


@kind("generator")
def growing_source(story: Story) -> None:
    """follow = true: files and half lines come while it runs; a kill; SIGTERM at the end."""
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    folder = story.folder / "problems"
    folder.mkdir()
    generation.write_problems(8, folder / "first.jsonl")
    generation.configure(problems__source=str(folder), daemon__follow=True)
    process = generation.run()
    generation.answered(process, 8)
    for number in range(12):
        generation.write_problems(1, folder / f"more-{number:02d}.jsonl")
    whole_line = problem_line(generation.problem_count)
    half = folder / "half.jsonl"
    half.write_text(whole_line[:40])
    if story.rng.random() < 0.6:
        process.wait(story.rng.uniform(0, 1))
        generation.kill_and_look(process)
        process = generation.run()
    _rows_reach(generation, process, 20)
    half.write_text(whole_line)
    generation.problem_count += 1
    _rows_reach(generation, process, 21)
    process.send(15)
    story.end(process, {DONE}, "run that follows its source")
    generation.complete()


def _rows_reach(generation: Generation, process: object, count: int) -> None:
    def rows() -> int:
        paths = generation.corpus.glob("*/shard-*")
        return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())

    generation.story.until(lambda: rows() >= count, process, 90)  # type: ignore[arg-type]


@kind("generator", share=1)
def many_files(story: Story) -> None:
    """A folder of hundreds of problem files; a kill in the middle."""
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    folder = story.folder / "problems"
    folder.mkdir()
    for number in range(story.rng.choice((200, 400))):
        generation.write_problems(1, folder / f"{number:05d}.jsonl")
    generation.configure(problems__source=str(folder), lane__concurrency=40, shards__rows=100)
    process = generation.run()
    generation.answered(process, 60)
    generation.kill_and_look(process)
    generation.finish()


@kind("generator", share=1)
def large_set(story: Story) -> None:
    """100,000 problems, killed and drained while they are opened; a limit at the end."""
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    generation.write_problems(100_000)
    generation.problem_count = 0
    generation.configure(problems__limit=60, lane__concurrency=20)
    for _ in range(story.rng.randint(1, 3)):
        process = generation.run()
        process.wait(story.rng.uniform(0.1, 2))
        if story.rng.random() < 0.6:
            generation.kill_and_look(process)
        else:
            story.stopped(process, 15, "run stopped while its problems are opened")
    story.end(generation.run(), {DONE})
    generation.complete(whole=False)
    generation.nothing_asked_again()


# Values that no configuration should have; "lane " in front: of the lane's table.
HOSTILE_VALUES = r"""
corpus = "a\u0000b"
corpus = "/proc/self/x"
corpus = "/dev/null"
corpus = "/dev/null/x"
corpus = "LONG"
corpus = ""
corpus = 7
problems.source = "a\u0000b.jsonl"
problems.source = "/dev/zero"
problems.source = "/proc/self/mem"
problems.source = "/etc/passwd"
problems.source = "../../../../etc"
problems.source = "LONG"
problems.exclude = ["/etc/shadow"]
problems.exclude = ["a\u0000"]
problems.exclude = ["LONG"]
problems.limit = 99999999999999999999
problems.limit = -1
sampling.temperature = nan
sampling.top_p = inf
sampling.max_tokens = 9223372036854775808
sampling.prompt = "{problem} {0.__class__} {x}"
sampling.prompt = "{problem!r:>{problem}}"
sampling.prompt = "{problem"
sampling.system_prompt = "\u0000"
timeouts.stall = nan
timeouts.total = inf
timeouts.first_token = -1
timeouts.connect = 1e308
daemon.host = "a\u0000"
daemon.host = "999.1.1.1"
daemon.host = "0.0.0.0"
daemon.port = 70000
daemon.token_env = "a=b\u0000"
daemon.drain_seconds = inf
daemon.give_up_minutes = nan
shards.rows = 0
shards.megabytes = 99999999999999999999999
grading.timeout_seconds = 1e-9
grading.timeout_seconds = inf
grading.workers = 100000000
retry.attempts = 99999999999999999999
budget.usd_total = nan
budget.day_timezone = "../../../etc/passwd"
judge.lane = "x"
screening.data = "a\u0000"
screening.near_duplicates = nan
screening.near_duplicates = 0.0000001
lane name = "../../x"
lane name = "a\nb"
lane base_url = "http://[::1"
lane base_url = "http://\u0000/"
lane base_url = "http://a b/"
lane base_url = "file:///etc/passwd"
lane base_url = "http:///v1"
lane base_url = "http://127.0.0.1:/v1"
lane base_url = "http://%00/"
lane base_url = "http://127.0.0.1:9/v1\r\nX-Evil: 1"
lane base_url = "http://a@b@c/"
lane model = "m\r\nX: y"
lane model = "\u0000"
lane api_key_env = "A=B"
lane api_key_env = "a\u0000b"
lane account = "\u0000"
lane concurrency = 100000000
lane price_out = nan
lane usd_total = nan
lane calls_per_day = 99999999999999999999
lane windows = ["mon-fri 99:99-00:00"]
lane windows = ["mon 00:00-00:00 ../../etc/passwd"]
lane windows = ["sat-mon 24:00-00:00"]
lane windows = [""]
lane holidays = ["9999-99-99"]
lane day_timezone = "/etc/localtime"
lane requests_per_minute = 99999999999999999999
lane max_tokens = 99999999999999999999
""".strip().splitlines()


@kind("generator", share=4)
def hostile_configuration(story: Story) -> None:
    """A value that no configuration should have: one line and exit 2, or it works."""
    entry = HOSTILE_VALUES[story.seed % len(HOSTILE_VALUES)].replace("LONG", "x" * 5000)
    story.note(entry[:60])
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    generation.write_problems(3)
    generation.configure(daemon__give_up_minutes=0.02, daemon__wait=False)
    name, _, value = entry.partition(" = ")
    key = name.replace("lane ", "lane__").replace(".", "__")
    marker = 987_654_321
    generation.configure(**{"daemon__give_up_minutes": 0.02, "daemon__wait": False, key: marker})
    generation.edit(str(marker), value)
    process = generation.run()
    codes = {DONE, INPUT, 3, NO_LANE, CANNOT_WRITE}
    story.end(process, codes, f"run with {entry[:80]}")
