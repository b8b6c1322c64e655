"""Batches of a provider, which take hours, beside live calls."""

import json
import subprocess
import time
import urllib.request
from typing import Any

from tests.chaos import corpus_reader
from tests.chaos.corpus_promises import CorpusPromises
from tests.chaos.generation import DONE
from tests.chaos.kinds import kind
from tests.chaos.processes import Process, plain_variables
from tests.chaos.story import SIGNALS, Story
from tests.generator.batch.night import Night


class Desk:
    """A provider of batches with faults, as a process that outlives the generators."""

    def __init__(self, story: Story, night: Night) -> None:
        command = [story.programs.python("generator"), "-m", "generator.rehearsal", "--port", "0"]
        self._process = subprocess.Popen(
            [*command, *night.teacher_flags()],
            cwd=story.programs.root,
            env=plain_variables(story.programs.root) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        story.at_close(self._close)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]

    def book(self) -> dict[str, Any]:
        """What it has been sent, and would bill."""
        address = self.url.removesuffix("/v1") + "/stats"
        with urllib.request.urlopen(address, timeout=30) as reply:
            return dict(json.load(reply)["batch"])

    def _close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@kind("generator", share=1)
def killed_batches(story: Story) -> None:
    """Batches under kills and faults of the provider: no file is sent twice, limits hold."""
    rng = story.rng
    problems = rng.randint(60, 120)
    night = Night(problems, lines=rng.randint(8, 24), calls_per_day=problems + 60, kills=0)
    desk = Desk(story, night)
    config = night.configuration(story.folder, desk.url)
    promises = CorpusPromises(story, story.folder / "corpus")
    for _ in range(rng.randint(2, 4)):
        process = story.start("generator", "run", config)
        _moment(desk, process, rng.randint(0, problems // 3))
        process.wait(rng.uniform(0, 0.6))
        if rng.random() < 0.75:
            story.kill(process)
            story.no_traceback(process)
        else:
            process.send(rng.choice(SIGNALS))
            story.end(process, {DONE}, "run that was asked to stop")
        promises.look()
    story.end(story.start("generator", "run", config), {DONE}, "last run")
    promises.complete(whole=False)
    _night_is_whole(promises, night, desk.book())


def _moment(desk: Desk, process: Process, more_lines: int) -> None:
    """Until so many more lines were paid for."""
    target = desk.book()["lines_paid"] + more_lines
    deadline = time.monotonic() + 20
    while process.alive and time.monotonic() < deadline and desk.book()["lines_paid"] < target:
        time.sleep(0.02)


def _night_is_whole(promises: CorpusPromises, night: Night, book: dict[str, Any]) -> None:
    story = promises.story
    corpus = corpus_reader.read(promises.corpus)
    if len(corpus.lines) != night.problems:
        story.violation(f"{len(corpus.lines)} rows of {night.problems} problems")
    if book["files_sent_twice"]:
        story.violation(f"{book['files_sent_twice']} files were sent twice")
    if book["lines_paid"] > night.calls_per_day:
        story.violation(f"{book['lines_paid']} lines paid of {night.calls_per_day} a day")
    remains = [path.name for path in (promises.corpus / "batches").glob("*")]
    if remains:
        story.violation(f"left in batches/: {remains}")
