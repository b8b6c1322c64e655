"""Questions of a benchmark: whatever `shared.benchmarks` can open, made ready to be asked.

A limit takes the FIRST N rows, as the tutorial does; lighteval's own takes N after a shuffle.
"""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.records import Benchmark, Question
from shared.benchmarks.choices import multiple_choice
from shared.benchmarks.names import HELD_OUT, HubSet
from shared.benchmarks.opening import BenchmarkSources, open_benchmark
from shared.benchmarks.rows import Row, golds_of, problem_of
from shared.errors import InputError
from shared.prompts import messages_for
from shared.records import problem_id
from shared.row_files import is_data_file, without_suffix

_LONGEST_SLUG = 120  # of the 255 bytes of a file's name, in which lighteval puts more beside it


def load_benchmark(
    name: str,
    data: str,
    limit: int,
    system_prompt: str,
    prompt: str,
    runs: Sequence[Path] = (),
    option_seed: int = 0,
) -> Benchmark:
    """The benchmark `name` with its questions in the order of its file. Errors: `InputError` with
    place and remedy.

    `data`: folder of local copies, "" for the hub. `limit`: the first so many problems, 0 for all.
    `runs` are the training runs whose models are examined: they know what they held out of a
    corpus. `option_seed` orders the options of sets that give them no order.
    """
    sources = BenchmarkSources("benchmarks", _read_hub, "data", data, runs)
    benchmark = open_benchmark(name, sources)
    problems = [
        _asked(row, place, benchmark.lists_are_parts, option_seed) for place, row in benchmark.rows
    ]
    if not problems:
        raise InputError(f"{benchmark.origin}: no problems in it")
    questions = []
    asked_problems = problems[: limit or None]
    identities = unique_ids(problem.text for problem in asked_problems)
    for identity, problem in zip(identities, asked_problems, strict=True):
        messages = messages_for(problem.text, system_prompt, prompt)
        gold, *other_golds = problem.golds
        question = Question(identity, problem.text, gold, tuple(messages), tuple(other_golds))
        questions.append(question)
    is_drawn = any(problem.is_drawn for problem in problems)
    shown = shown_name(name)
    whole = Benchmark(
        shown,
        slug(shown),
        tuple(questions),
        benchmark.origin,
        "",
        len(problems),
        option_seed if is_drawn else None,
    )
    return first_questions(whole, len(questions))


class _Asked(NamedTuple):
    """A row as it is asked. `is_drawn`: the order of its options was."""

    text: str
    golds: tuple[str, ...]
    is_drawn: bool = False


def _asked(row: Row, place: str, lists_are_parts: bool, option_seed: int) -> _Asked:
    choice = multiple_choice(row, place)
    if choice is None:
        golds = golds_of(row, place, lists_are_parts=lists_are_parts)
        return _Asked(problem_of(row, place), golds)
    text, letter = choice.asked(option_seed)
    return _Asked(text, (letter,), choice.is_drawn)


def unique_ids(texts: Iterable[str]) -> Iterator[str]:
    """An id for each text: the problem's, with ".2", ".3" … where a text comes again."""
    copies: Counter[str] = Counter()
    for text in texts:
        identity = problem_id(text)
        copies[identity] += 1
        yield identity if copies[identity] == 1 else f"{identity}.{copies[identity]}"


def first_questions(benchmark: Benchmark, count: int) -> Benchmark:
    """The benchmark's first `count` questions, as a benchmark of its own digest."""
    questions = benchmark.questions[:count]
    lines = [" ".join([question.id, *question.golds]) for question in questions]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return dataclasses.replace(benchmark, questions=questions, sha256=digest)


def shown_name(name: str) -> str:
    """The benchmark's key in comparison.json: a file goes by its stem, all others by the name
    as written.
    """
    is_file = is_data_file(name) and not name.startswith(HELD_OUT)
    return without_suffix(Path(name)).name if is_file else name


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
