"""The stories of the evaluation: killed in its cache of answers, between models, in lighteval's
part and the report, on bad disks, beside other processes, with a server that dies; the same command
again ends with the undisturbed comparison.
"""

import errno
import json
import random
import time
from pathlib import Path

from tests.chaos import answer_server
from tests.chaos.evaluating import (
    CANNOT_WRITE,
    DEAD_SERVER,
    DONE,
    INPUT,
    PROBLEMS,
    Evaluating,
)
from tests.chaos.kinds import kind
from tests.chaos.story import SIGNALS, Story

HOW = ("before", "after", "torn")
ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
SIGKILL = 9


def killed_some_times(evaluating: Evaluating, most: int) -> int:
    """Kills at random moments; how many hit."""
    hits = 0
    for _ in range(evaluating.story.rng.randint(2, most)):
        process = evaluating.run()
        evaluating.moment(process)
        if not evaluating.kill_and_look(process):
            break
        hits += 1
    return hits


@kind("evaluation", share=5)
def evaluation_kills(story: Story) -> None:
    """Two to six kill -9 at random moments; a server answers. Only what was in flight is asked
    again.
    """
    evaluating = Evaluating(story)
    hits = killed_some_times(evaluating, 6)
    evaluating.finish()
    evaluating.little_asked_again(hits)


@kind("evaluation", share=3)
def evaluation_kills_of_models(story: Story) -> None:
    """Kills while two tiny models answer on the processor."""
    evaluating = Evaluating(story, "models")
    killed_some_times(evaluating, 4)
    evaluating.finish()


@kind("evaluation", share=2)
def evaluation_kills_at_start(story: Story) -> None:
    """Three to seven kills in a row within the first half second of a start."""
    evaluating = Evaluating(story)
    hits = 0
    for _ in range(story.rng.randint(3, 7)):
        process = evaluating.run()
        process.wait(story.rng.uniform(0, 0.5))
        hits += evaluating.kill_and_look(process)
    evaluating.finish()
    evaluating.little_asked_again(hits)


@kind("evaluation", share=2)
def kills_between_models(story: Story) -> None:
    """Killed when the first model has answered, and as the second begins."""
    evaluating = Evaluating(story, story.rng.choice(("endpoint", "models")))
    count = PROBLEMS[evaluating.engine]
    for _ in range(2):
        process = evaluating.run()
        story.until(lambda: evaluating.lines() >= count, process, 40)
        process.wait(story.rng.uniform(0, 0.3))
        if not evaluating.kill_and_look(process):
            break
    evaluating.finish()


def killed_inside(evaluating: Evaluating, name: str, last: int, times: int = 2) -> None:
    """Kills at operations on paths with `name` in them, up to the `last`; then to the end."""
    story = evaluating.story
    for _ in range(times):
        machine = {
            "DIR": evaluating.out,
            "KILL_AT": story.rng.randint(1, last),
            "KILL_HOW": story.rng.choice(HOW),
            "KILL_NAME": name,
        }
        process = evaluating.run(machine=machine)
        if process.wait(120) == -SIGKILL:
            story.kills += 1
            story.no_traceback(process)
        else:
            story.end(process, {DONE}, "run under a kill that did not come")
        evaluating.look()
    evaluating.finish()


@kind("evaluation", machine=True, share=3)
def kills_in_the_answer_cache(story: Story) -> None:
    """Killed at the Nth operation on answers.jsonl: before, after, or half way through a line."""
    evaluating = Evaluating(story, story.rng.choice(("endpoint", "endpoint", "models")))
    killed_inside(evaluating, "answers.jsonl", PROBLEMS[evaluating.engine], 3)


@kind("evaluation", machine=True, share=3)
def kills_at_any_file(story: Story) -> None:
    """Killed at the Nth operation on any of the evaluation's files."""
    killed_inside(Evaluating(story), "", story.rng.choice((15, 60, 120)), 3)


@kind("evaluation", machine=True, share=2)
def kills_in_lighteval(story: Story) -> None:
    """Killed while lighteval writes its own results and details."""
    killed_inside(Evaluating(story), "lighteval", 14)


@kind("evaluation", machine=True, share=2)
def kills_in_the_comparison(story: Story) -> None:
    """Killed while verdicts, manifest, comparison or report are written."""
    name = story.rng.choice(("comparison", "report", "manifest", "verdicts", "benchmarks"))
    killed_inside(Evaluating(story), name, 6)


@kind("evaluation", share=2)
def evaluation_drains(story: Story) -> None:
    """SIGTERM or SIGINT at random moments: exit 0, the answers are kept."""
    evaluating = Evaluating(story)
    stops = story.rng.randint(1, 3)
    for _ in range(stops):
        process = evaluating.run()
        evaluating.moment(process)
        story.stopped(process, story.rng.choice(SIGNALS), "evaluation that was asked to stop")
        evaluating.look()
    evaluating.finish()
    evaluating.little_asked_again(stops)


@kind("evaluation", share=1)
def evaluation_two_signals(story: Story) -> None:
    """A second signal kills, with its own code; the same command goes on."""
    evaluating = Evaluating(story)
    process = evaluating.run()
    evaluating.moment(process)
    process.send(story.rng.choice(SIGNALS))
    process.wait(story.rng.uniform(0, 0.3))
    process.send(story.rng.choice(SIGNALS))
    codes = {DONE} | {code for number in SIGNALS for code in (-number, 128 + number)}
    story.end(process, codes, "evaluation with two signals")
    evaluating.look()
    evaluating.finish()


def torn(data: bytes, rng: random.Random) -> bytes:
    """A cache of answers as crashes and editors leave it."""
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    half = lines[place][: len(lines[place]) // 2]
    return rng.choice(
        (
            data[: rng.randrange(len(data))],
            data + b'{"key": "x", "id',
            data + b"\0" * 300,
            b"".join([*lines[:place], half + b"\n", *lines[place + 1 :]]),
            b"".join([*lines[:place], b"[1, 2]\n", *lines[place + 1 :]]),
            b"".join([*lines[:place], b"\xff\xfe\n", *lines[place:]]),
            b"\n".join([*data.split(b"\n")[:place], b"", *data.split(b"\n")[place:]]),
            b"",
        )
    )


@kind("evaluation", share=3)
def torn_answers(story: Story) -> None:
    """Lines of answers.jsonl are torn, foreign or gone: they are asked again, no others."""
    evaluating = Evaluating(story)
    process = evaluating.run()
    if story.rng.random() < 0.5:
        story.end(process, {DONE})
    else:
        evaluating.moment(process)
        evaluating.kill_and_look(process)
    for path in evaluating.out.glob("*/*/answers.jsonl"):
        data = path.read_bytes()
        if data:
            path.write_bytes(torn(data, story.rng))
    evaluating.finish()


@kind("evaluation", machine=True, share=2)
def evaluation_full_disk(story: Story) -> None:
    """A disk that fills up: exit 5, one line; with more room it goes on."""
    evaluating = Evaluating(story)
    kibibytes = story.rng.randint(8, 400)
    disk = story.small_disk(kibibytes)
    machine: dict[str, object] = {}
    if disk:
        evaluating.out = disk / "out"
        evaluating.configure()
    else:
        machine = {"DIR": evaluating.out, "QUOTA": kibibytes * 1024}
    codes = {DONE, CANNOT_WRITE}
    story.end(evaluating.run(machine=machine), codes, f"evaluation on {kibibytes} KiB")
    evaluating.look()
    if disk:
        story.remount(disk, "size=64m")
    evaluating.finish()


@kind("evaluation", machine=True, share=3)
def evaluation_failing_operations(story: Story) -> None:
    """The Nth operation on the evaluation's files fails, once or for a while: exit 5 or done."""
    evaluating = Evaluating(story)
    machine = {
        "DIR": evaluating.out,
        "FAIL_AT": story.rng.randint(1, story.rng.choice((10, 70, 130))),
        "FAIL_FOR": story.rng.choice((1, 2, 5, 100_000)),
        "FAIL_ERRNO": story.rng.choice(ERRORS),
        "FAIL_NAME": story.rng.choice(("", "", "answers", "lighteval", "json", "report")),
    }
    codes = {DONE, CANNOT_WRITE}
    story.end(
        evaluating.run(machine=machine), codes, f"evaluation where operations fail: {machine}"
    )
    evaluating.look()
    evaluating.finish()


@kind("evaluation", machine=True, share=1)
def evaluation_read_only(story: Story) -> None:
    """The disk is read-only from the start or becomes so: exit 5 or 2."""
    evaluating = Evaluating(story)
    first = 1 if story.rng.random() < 0.5 else story.rng.randint(2, 80)
    machine = {
        "DIR": evaluating.out,
        "FAIL_AT": first,
        "FAIL_FOR": 10**6,
        "FAIL_ERRNO": errno.EROFS,
    }
    codes = {DONE, INPUT, CANNOT_WRITE}
    story.end(evaluating.run(machine=machine), codes, "evaluation on a read-only disk")
    evaluating.look()
    evaluating.finish()


@kind("evaluation", share=1)
def two_evaluations(story: Story) -> None:
    """Two processes on one folder: one works, the other says who does."""
    evaluating = Evaluating(story)
    processes = [evaluating.run(), evaluating.run()]
    if story.rng.random() < 0.5:
        evaluating.moment(processes[0])
        story.kill(story.rng.choice(processes))
    for process in processes:
        code = story.end(process, {DONE, INPUT, -SIGKILL}, "one of two evaluations")
        if code == INPUT and "held by process" not in process.text():
            story.violation(f"exit 2 that does not say who: {process.text()[-200:]!r}")
    evaluating.look()
    evaluating.finish()


@kind("evaluation", share=2)
def dying_server(story: Story) -> None:
    """The server dies half way: it is told, the answers stay; when it is back, it goes on."""
    evaluating = Evaluating(story)
    server = evaluating.server
    server.last_answer = server.count + story.rng.randint(1, PROBLEMS["endpoint"])
    process = evaluating.run()
    story.until(lambda: server.count >= server.last_answer, process)
    server.listen(False)
    back = story.rng.random() < 0.4
    if back:
        process.wait(story.rng.uniform(0.05, 1.5))
        server.listen(True)
    code = story.end(process, {DONE, INPUT, DEAD_SERVER}, "server that dies")
    if not back:
        if code == DONE:
            story.violation("done without a server")
        server.listen(True)
    evaluating.look()
    evaluating.finish()


@kind("evaluation", share=4)
def faulty_server(story: Story) -> None:
    """Some replies are errors, pages, half or hostile JSON: none becomes an answer."""
    evaluating = Evaluating(story)
    names = [name for name in answer_server.FAULTS if name != "none"]
    name = names[story.seed % len(names)]
    rate = story.rng.choice((0.1, 0.3, 1.0))
    story.note(f"{name} {rate}")
    evaluating.server.fault = lambda rng: name if rng.random() < rate else "none"
    process = evaluating.run()
    if story.rng.random() < 0.4:
        evaluating.moment(process)
        evaluating.kill_and_look(process)
    else:
        deadline = time.monotonic() + 15
        while process.wait(0.2) is None and time.monotonic() < deadline:
            continue
        evaluating.server.fault = lambda rng: "none"
        story.end(process, {DONE, INPUT, DEAD_SERVER}, f"evaluation with {name}")
    evaluating.server.fault = lambda rng: "none"
    evaluating.look()
    evaluating.finish()


@kind("evaluation", share=2)
def damaged_results(story: Story) -> None:
    """Parts of a finished evaluation are lost or torn: the same command makes them again."""
    evaluating = Evaluating(story)
    story.end(evaluating.run(), {DONE})
    evaluating.complete()
    asked = sum(evaluating.server.asked.values())
    files = [path for path in evaluating.out.rglob("*") if path.is_file()]
    results = [path for path in files if path.name != "answers.jsonl" and path.name[0] != "."]
    path = story.rng.choice(sorted(results))
    torn_file = story.rng.random() < 0.5
    story.note(f"{path.name} {'torn' if torn_file else 'removed'}")
    if torn_file:
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.unlink()
    report = evaluating.command("report", evaluating.out)
    story.end(report, {DONE, INPUT}, f"report after {path.name} was damaged")
    evaluating.finish()
    if sum(evaluating.server.asked.values()) != asked:
        story.violation("answers that were kept were asked again")


@kind("evaluation", share=2)
def killed_reports(story: Story) -> None:
    """`report` and `compare` on finished runs, killed and given again; nothing is torn."""
    evaluating = Evaluating(story)
    story.end(evaluating.run(), {DONE})
    models = sorted(path.parent for path in evaluating.out.glob("*/*/answers.jsonl"))
    folders = [path.parent for path in models]
    other = story.folder / "compared"
    for _ in range(story.rng.randint(2, 5)):
        words: list[object] = ["report", evaluating.out]
        if story.rng.random() < 0.5:
            words = ["compare", *folders, "--out", other]
        process = evaluating.command(*words)
        process.wait(story.rng.uniform(0, 0.4))
        story.kill(process)
        story.no_traceback(process)
        evaluating.look()
    story.end(evaluating.command("compare", *folders, "--out", other), {DONE}, "compare")
    story.end(evaluating.command("report", evaluating.out), {DONE}, "report")
    evaluating.complete()
    if not _is_json(other / "comparison.json"):
        story.violation("compare left no whole comparison.json")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
