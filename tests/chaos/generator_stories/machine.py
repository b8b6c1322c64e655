"""Narrow limits of the machine: descriptors, memory, environment, output, graders that die."""

import json
import os
import subprocess
from pathlib import Path

from tests.chaos.generation import (
    CANNOT_WRITE,
    DONE,
    INPUT,
    NO_LANE,
    SIGKILL,
    Generation,
    always,
)
from tests.chaos.generator_stories.network import free_port
from tests.chaos.kinds import kind
from tests.chaos.processes import plain_variables
from tests.chaos.story import HANG_SECONDS, Story
from tests.chaos.teacher import problem_line


@kind("generator", share=1)
def few_descriptors(story: Story) -> None:
    """`ulimit -n` is low: it works, or ends in order; nothing is lost."""
    limit = story.rng.choice((24, 32, 40, 48, 64, 100))
    port = story.rng.choice((0, free_port()))
    generation = Generation(story)
    generation.prepare(
        20,
        lane__concurrency=story.rng.choice((8, 60)),
        daemon__give_up_minutes=0.05,
        daemon__port=port,
    )
    process = generation.run(limits={"NOFILE": limit}, fresh=True)
    story.end(process, {DONE, INPUT, NO_LANE, CANNOT_WRITE}, f"run with ulimit -n {limit}")
    generation.look(ledger=False)
    generation.configure()
    generation.finish()


@kind("generator", share=1)
def little_memory(story: Story) -> None:
    """`ulimit -v` is low: it ends in order, or no right answer suffers."""
    megabytes = story.rng.choice((700, 900, 1200, 2000, 2900))
    generation = Generation(story)
    generation.serve(always("plain"), gap=0)
    lines = [json.loads(problem_line(number)) for number in range(8)]
    for line in lines:  # the grader has to compute
        line["answer"] = f"\\frac{{{2 * int(line['answer'])}}}{{2}} + \\sin(0)"
    generation.source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    generation.problem_count = len(lines)
    generation.configure(grading__timeout_seconds=60)  # none is too slow on a busy machine
    process = generation.run(limits={"AS": megabytes << 20}, fresh=True)
    code = process.wait(HANG_SECONDS)
    told_before_the_start = code == 1 and "MemoryError" in process.text()
    if not told_before_the_start:  # an interpreter that cannot load its libraries has no words
        story.end(process, {DONE, INPUT, CANNOT_WRITE}, f"run with ulimit -v {megabytes} MB")
    story.note(f"{megabytes} MB: exit {code}")
    if code == DONE:
        generation.complete()
        rows = (generation.corpus / "rejected").glob("*.jsonl")
        if any('"unverifiable"' in path.read_text() for path in rows):
            story.violation(f"ulimit -v {megabytes} MB: right answers are unverifiable")


@kind("generator", share=1)
def bare_environment(story: Story) -> None:
    """No PATH, no home, no temporary folder, an unknown language and time zone."""
    generation = Generation(story)
    generation.prepare(12)
    variables = {
        "PATH": "",
        "HOME": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "LANG": "xx",
        "TZ": story.rng.choice(("Asia/Kathmandu", ":bad", "")),
    }
    story.end(generation.run(variables=variables, fresh=True), {DONE}, "run in a bare environment")
    generation.complete()


@kind("generator", share=1)
def closed_output(story: Story) -> None:
    """stdout is a full device, a pipe that closes, or closed from the start."""
    generation = Generation(story)
    generation.prepare(14)
    python = story.programs.python("generator")
    command = [python, "-m", "generator", "run", str(generation.config)]
    variables = {
        **plain_variables(story.programs.root),
        "CHAOS_KEY": story.key,
        "CHAOS_STORY": story.folder.name,
    }
    how = story.rng.choice(("full", "pipe", "closed"))
    shell = {"full": 'exec "$@" >/dev/full', "closed": 'exec "$@" >&-', "pipe": 'exec "$@"'}
    log = (story.folder / "log.txt").open("wb")
    process = subprocess.Popen(
        ["sh", "-c", shell[how], "sh", *command],
        cwd=story.programs.root,
        env=variables,
        stdout=subprocess.PIPE if how == "pipe" else log,
        stderr=log,
        start_new_session=True,
    )
    if process.stdout is not None:
        process.stdout.readline()
        process.stdout.close()
    try:
        code = process.wait(HANG_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
        story.violation(f"hang: stdout {how}")
    log.close()
    story.note(f"{how}: exit {code}")
    allowed = {DONE, CANNOT_WRITE} if how == "full" else {DONE}
    if code not in allowed:
        tail = (story.folder / "log.txt").read_text(errors="replace")[-300:]
        story.violation(f"stdout {how}: exit code {code}: {tail!r}")
    generation.look()
    generation.finish()


@kind("generator", share=1)
def hard_answers(story: Story) -> None:
    """Answers that the grader cannot decide in time: unverifiable, none kept, workers replaced."""
    generation = Generation(story)
    generation.prepare(5, always("plain"), grading__workers=2, grading__timeout_seconds=1)
    generation.teacher.answer_text = "\\frac{1}{1+" * 40 + "1" + "}" * 40
    process = generation.run()
    if story.rng.random() < 0.5:
        process.wait(story.rng.uniform(0.5, 2.5))
        generation.kill_and_look(process)
        process = generation.run()
    story.end(process, {DONE}, "run with hard answers")
    generation.complete()
    if any(generation.corpus.glob("traces/*.jsonl")):
        story.violation("an answer that nobody could check was kept")


@kind("generator", share=1)
def dead_graders(story: Story) -> None:
    """Grading workers are killed under a run: answers are graded all the same."""
    generation = Generation(story)
    generation.serve(always("slow"))
    lines = [json.loads(problem_line(number)) for number in range(14)]
    for line in lines:
        line["answer"] = f"\\frac{{{2 * int(line['answer'])}}}{{2}} + \\sin(0)"
    generation.source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    generation.problem_count = len(lines)
    generation.configure()
    process = generation.run()
    for _ in range(story.rng.randint(1, 3)):
        process.wait(story.rng.uniform(0.2, 0.7))
        for pid in children(process.pid):
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                continue
            story.kills += 1
    story.end(process, {DONE, INPUT}, "run whose graders are killed")
    generation.finish()


def children(pid: int) -> list[int]:
    """Processes that one has started and that live."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(word) for word in path.read_text().split()]
    except OSError:
        return []
