"""Questions of a benchmark: whatever `shared.benchmarks` can open, made ready to be asked.

A limit takes the FIRST N rows, as the tutorial does; lighteval's own takes N after a shuffle.
"""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluation.records import Benchmark, Question
from shared.benchmarks.names import DATA_FILES, HELD_OUT, HubSet
from shared.benchmarks.opening import BenchmarkSources, open_benchmark
from shared.benchmarks.rows import gold_of, problem_of
from shared.errors import InputError
from shared.prompts import messages_for
from shared.records import problem_id

_LONGEST_SLUG = 120  # of the 255 bytes of a file's name, in which lighteval puts more beside it


def load_benchmark(
    name: str, data: str, limit: int, system_prompt: str, prompt: str, runs: Sequence[Path] = ()
) -> Benchmark:
    """The benchmark `name` with its questions in the order of its file. Errors: `InputError` with
    place and remedy.

    `data`: folder of local copies, "" for the hub. `limit`: the first so many problems, 0 for all.
    `runs` are the training runs whose models are examined: they know what they held out of a
    corpus.
    """
    sources = BenchmarkSources("benchmarks", _read_hub, "data", data, runs)
    benchmark = open_benchmark(name, sources)
    pairs = [
        (problem_of(row, place), gold_of(row, place, lists_are_parts=benchmark.is_public))
        for place, row in benchmark.rows
    ]
    if not pairs:
        raise InputError(f"{benchmark.origin}: no problems in it")
    copies: Counter[str] = Counter()
    questions = []
    for text, gold in pairs[: limit or None]:
        identity = problem_id(text)
        copies[identity] += 1
        unique_id = identity if copies[identity] == 1 else f"{identity}.{copies[identity]}"
        messages = messages_for(text, system_prompt, prompt)
        questions.append(Question(unique_id, text, gold, tuple(messages)))
    shown = shown_name(name)
    whole = Benchmark(shown, slug(shown), tuple(questions), benchmark.origin, "", len(pairs))
    return first_questions(whole, len(questions))


def first_questions(benchmark: Benchmark, count: int) -> Benchmark:
    """The benchmark's first `count` questions, as a benchmark of its own digest."""
    questions = benchmark.questions[:count]
    digest = hashlib.sha256("\n".join(f"{q.id} {q.gold}" for q in questions).encode()).hexdigest()
    return dataclasses.replace(benchmark, questions=questions, sha256=digest)


def shown_name(name: str) -> str:
    """The benchmark's key in comparison.json: a file goes by its stem, all others by the name
    as written.
    """
    is_file = name.endswith(DATA_FILES) and not name.startswith(HELD_OUT)
    return Path(name).stem if is_file else name


def slug(name: str) -> str:
    """A name as one folder: what no file system or task name minds."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip("-.") or "unnamed"
    if name.isascii() and len(plain) <= _LONGEST_SLUG:
        return plain
    # Cut, or without its letters, it might be another's as well.
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{plain[:_LONGEST_SLUG]}-{digest[:8]}"


def _read_hub(hub_set: HubSet) -> Iterable[Any]:
    import datasets

    rows: Iterable[Any] = datasets.load_dataset(
        hub_set.data_set, hub_set.subset, split=hub_set.split
    )
    return rows
