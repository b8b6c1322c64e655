"""Several generators, each with a corpus of its own, on the allowance of one account."""

import time
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.generation import BUDGET, DONE, Generation, usual
from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import SIGNALS, Story
from tests.generator.quota.postgres_server import BIN, PASSWORD, postgres

ADDRESS = "SHARED_ADDRESS"  # the variable that names the database


@dataclass
class Allowance:
    """What the generators of a story share."""

    story: Story
    limit: int
    variables: dict[str, str] = field(default_factory=dict)
    generations: list[Generation] = field(default_factory=list)

    def add_generators(self, **shared: Any) -> None:
        """Two or three, each with more problems than the account has calls."""
        for number in range(self.story.rng.randint(2, 3)):
            generation = Generation(self.story)
            generation.corpus = self.story.folder / f"corpus-{number}"
            generation.source = self.story.folder / f"problems-{number}.jsonl"
            generation.config = self.story.folder / f"config-{number}.toml"
            if number == 0:
                generation.serve(usual, gap=0.006)
            else:
                generation.ask(self.generations[0].teacher)
            generation.write_problems(self.limit + 20)
            generation.configure(
                daemon__wait=False,
                lane__account="shared",
                lane__calls_per_day=self.limit,
                **shared,
            )
            self.generations.append(generation)

    def kill_some(self) -> None:
        """All run together, once or twice; some are killed, the others end as they are asked to."""
        rng = self.story.rng
        for _ in range(rng.randint(1, 2)):
            processes = [each.run(variables=self.variables) for each in self.generations]
            self.wait_for_calls(processes[0])
            for generation, process in zip(self.generations, processes, strict=True):
                if rng.random() < 0.6:
                    generation.kill_and_look(process)
                    continue
                process.send(rng.choice(SIGNALS))
                self.story.end(process, {DONE, BUDGET}, "run that was asked to stop")
                generation.look()

    def wait_for_calls(self, process: Process) -> None:
        """A moment while there is something left, most likely."""
        calls = self.generations[0].calls
        target = len(calls) + self.story.rng.randint(0, self.limit // 4)
        self.story.until(lambda: len(calls) >= target, process)

    def use_up(self) -> None:
        """To the end of the allowance, and once more: then nothing is asked."""
        processes = [each.run(variables=self.variables) for each in self.generations]
        for process in processes:
            self.story.end(process, {BUDGET}, "last run")
        for generation in self.generations:
            generation.complete(whole=False)
        generation = self.story.rng.choice(self.generations)
        generation.within(self.limit, "of the shared account")
        process = generation.run(variables=self.variables)
        self.story.end(process, {BUDGET}, "run on a used-up allowance")
        generation.within(self.limit, "of the shared account, which was used up")


@kind("generator", share=1)
def shared_folder(story: Story) -> None:
    """Generators share an account's calls by a folder, under kills: the server counts no more."""
    allowance = Allowance(story, story.rng.randint(20, 40))
    allowance.add_generators(budget__shared=str(story.folder / "shared"))
    allowance.kill_some()
    allowance.use_up()


@kind("generator", share=1)
def shared_database(story: Story) -> None:
    """The same by PostgreSQL, which is killed as well; by a folder where it is not installed."""
    if BIN is None:
        story.note("PostgreSQL is not installed")
        shared_folder(story)
        return
    with postgres() as database:
        allowance = Allowance(story, story.rng.randint(20, 40), {ADDRESS: database.url})
        allowance.add_generators(budget__shared_env=ADDRESS)
        allowance.kill_some()
        generation = story.rng.choice(allowance.generations)
        process = generation.run(variables=allowance.variables)
        allowance.wait_for_calls(process)
        database.stop()
        time.sleep(story.rng.uniform(0, 1))
        database.start()
        story.end(process, {BUDGET}, "run whose database was killed")
        allowance.use_up()
    _password_is_nowhere(story)


def _password_is_nowhere(story: Story) -> None:
    secret = PASSWORD.split()[0].encode()
    for path in story.folder.rglob("*"):
        if path.is_file() and secret in path.read_bytes():
            story.violation(f"the database's password stands in {path.name}")
