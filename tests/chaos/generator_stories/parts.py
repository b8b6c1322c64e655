"""Several processes at one corpus in order: parts of a run, workers that regrade and export."""

import json

from tests.chaos import corpus_reader
from tests.chaos.generation import DONE, INPUT, Generation, always, usual
from tests.chaos.kinds import kind
from tests.chaos.story import SIGNALS, Story


@kind("generator", share=1)
def killed_parts(story: Story) -> None:
    """A run in two parts is killed or stopped, its parts with it; given again it ends whole."""
    generation = Generation(story)
    generation.prepare(18, usual, grading__workers=1)
    words = ["--parts", "2", "--on", "local:2"]
    for _ in range(story.rng.randint(1, 2)):
        process = generation.run(*words)
        generation.answered(process, story.rng.randint(1, 8))
        if story.rng.random() < 0.6:
            generation.kill_and_look(process)
            continue
        process.send(story.rng.choice(SIGNALS))
        story.end(process, {DONE}, "run in parts that was asked to stop")
        generation.look(ledger=False)
    story.end(generation.run(*words), {DONE}, "last run in parts")
    corpus = corpus_reader.read(generation.corpus)
    for part in sorted(generation.corpus.glob("part-????")):
        own = corpus_reader.read(part)
        for fault in corpus_reader.manifest_faults(part, own):
            story.violation(f"{part.name}: {fault}")
    generation.complete_parts(corpus)


@kind("generator", share=1)
def killed_regrades(story: Story) -> None:
    """`regrade` and `flags` are killed while they work: the source stays, the copy is whole."""
    generation = Generation(story)
    generation.prepare(14, always("plain"), gap=0, shards__rows=4)
    story.end(generation.run(), {DONE})
    generation.look()
    copy = story.folder / "copy"
    words = [story.rng.choice(("regrade", "flags")), generation.corpus, copy, "--on", "local:1"]
    for _ in range(story.rng.randint(1, 4)):
        process = generation.command(*words)
        process.wait(story.rng.uniform(0, 2.0))
        story.kill(process)
        story.no_traceback(process)
        generation.look()
    story.end(generation.command(*words), {DONE, INPUT}, f"{words[0]} to its end")
    story.end(generation.command("check", copy), {DONE}, "check of the copy")
    generation.complete()
    source = corpus_reader.read(generation.corpus)
    copied = corpus_reader.read(copy)
    if copied.lines.keys() != source.lines.keys():
        story.violation(f"the copy has {len(copied.lines)} of {len(source.lines)} rows")
    for id_, line in copied.lines.items():
        if json.loads(line)["verdict"] != json.loads(source.lines.get(id_, line))["verdict"]:
            story.violation(f"{words[0]} changed the verdict of {id_}")
