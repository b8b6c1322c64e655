"""Where questions come from: the public benchmarks by name, a corpus's held-out problems, any JSONL
or Parquet file.

The names are those of `shared.benchmarks`, spelling aside; local copies or the hub.

    gsm8k       {"question": "Janet’s ducks lay 16 eggs…", "answer": "Janet sells 16 - 3 - 4 = … #### 18"}
    math_500    {"problem": "Convert the point $(0,3)$…", "answer": "\\\\left( 3, \\\\frac{\\\\pi}{2}…", "level": 2}
    aime24      {"problem": "Every morning Aya goes…", "answer": 204}

A limit takes the FIRST N rows, as the tutorial does; lighteval's own takes N after a shuffle.
"""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import orjson

from evaluation.records import Benchmark, Question
from shared.benchmarks import PUBLIC, key_of
from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.prompts import messages_for
from shared.records import problem_id, read_traces

Row = Mapping[str, Any]


# Where a local copy is looked for first, by the benchmark's key.
_COPIES = {
    "gsm8k": ("gsm8k/test.jsonl", "gsm8k.jsonl", "gsm8k/main/test-00000-of-00001.parquet"),
    "math_500": (
        "math_500/test.jsonl",
        "math500/test.jsonl",
        "math_500.jsonl",
        "math500.jsonl",
        "MATH-500/test.jsonl",
    ),
    "aime24": ("aime24/test.jsonl", "aime24.jsonl", "aime/aime24.jsonl", "aime_2024.jsonl"),
    "aime25": ("aime25/test.jsonl", "aime25.jsonl", "aime/aime25.jsonl", "aime_2025.jsonl"),
}
_FILES = (".jsonl", ".parquet")

HELD_OUT = "held-out:"
HELD_OUT_SHARE, HELD_OUT_SEED = (
    0.02,
    0,
)  # the trainer's defaults, where neither a list nor a run says more

_LONGEST_SLUG = 120  # of the 255 bytes of a file's name, in which lighteval puts more beside it
_PROBLEM_FIELDS = ("problem", "question", "prompt", "input")
_GOLD_FIELDS = ("gold", "answer", "final_answer", "expected_answer", "target")


def load_benchmark(
    name: str, data: str, limit: int, system_prompt: str, prompt: str, runs: Sequence[Path] = ()
) -> Benchmark:
    """The benchmark `name` with its questions in the order of its file. Errors: `InputError` with
    place and remedy.

    `runs` are the training runs whose models are examined: they know what they held out of a
    corpus.
    """
    rows, origin = _open(name, data, runs)
    pairs = list(rows)
    if not pairs:
        raise InputError(f"{origin}: no problems in it")
    seen: Counter[str] = Counter()
    questions = []
    for text, gold in pairs[: limit or None]:
        identity = problem_id(text)
        seen[identity] += 1
        unique = identity if seen[identity] == 1 else f"{identity}.{seen[identity]}"
        questions.append(
            Question(unique, text, gold, tuple(messages_for(text, system_prompt, prompt)))
        )
    shown = shown_name(name)
    return first(
        Benchmark(shown, slug(shown), tuple(questions), origin, "", len(pairs)), len(questions)
    )


def first(benchmark: Benchmark, count: int) -> Benchmark:
    """The benchmark's first `count` questions, as a benchmark of its own digest."""
    questions = benchmark.questions[:count]
    digest = hashlib.sha256("\n".join(f"{q.id} {q.gold}" for q in questions).encode()).hexdigest()
    return dataclasses.replace(benchmark, questions=questions, sha256=digest)


def shown_name(name: str) -> str:
    """The benchmark's key in comparison.json: a file goes by its stem, all others by the name
    as written.
    """
    return Path(name).stem if name.endswith(_FILES) and not name.startswith(HELD_OUT) else name


def slug(name: str) -> str:
    """A name as one folder: what no file system or task name minds."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip("-.") or "unnamed"
    if name.isascii() and len(plain) <= _LONGEST_SLUG:
        return plain
    # Cut, or without its letters, it might be another's as well.
    return f"{plain[:_LONGEST_SLUG]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _open(name: str, data: str, runs: Sequence[Path]) -> tuple[Iterator[tuple[str, str]], str]:
    if name.startswith(HELD_OUT):
        return _held_out(Path(name.removeprefix(HELD_OUT)), runs)
    if name.endswith(_FILES):
        return _from_file(Path(name)), name
    key = key_of(name)
    if key is None:
        known = ", ".join(PUBLIC)
        raise InputError(
            f"benchmarks: {name!r} is unknown: use {known}, held-out:CORPUS or a path ending in"
            " .jsonl or .parquet"
        )
    if data:
        copies = local_copies(key)
        path = next((Path(data) / file for file in copies if (Path(data) / file).exists()), None)
        if path is None:
            raise InputError(
                f'data = "{data}": no copy of {name} there: looked for {", ".join(copies)}'
            )
        return _from_file(path, public=True), str(path)
    return _from_hub(key)


def local_copies(key: str) -> list[str]:
    """The paths below `data` where a copy of a public benchmark may stand, the likeliest first."""
    folders = (key, PUBLIC[key].data_set.rpartition("/")[2])
    names = [
        f"{folder}{end}{suffix}" for suffix in _FILES for folder in folders for end in ("/test", "")
    ]
    return list(dict.fromkeys((*_COPIES.get(key, ()), *names)))


def _from_file(path: Path, public: bool = False) -> Iterator[tuple[str, str]]:
    for place, row in _read_parquet(path) if path.suffix == ".parquet" else _read_jsonl(path):
        yield _pair(_in_one(row) if public else row, place)


def _in_one(row: Row) -> Row:
    """A row whose answer is a list of its parts (OlympiadBench's), as one text: all of them are
    asked for.
    """
    joined = {
        name: ", ".join(map(str, row[name]))
        for name in _GOLD_FIELDS
        if isinstance(row.get(name), list) and row[name]
    }
    return {**row, **joined}


def _read_jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", parse_row(line, f"{path}:{number}")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: give the path of a JSON lines file with problem and answer"
        ) from None


def parse_row(line: bytes, place: str) -> Row:
    """One line of JSON as an object. Errors: `InputError` that begins with `place`."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: a JSON {type(row).__name__} where an object belongs")
    return row


def _read_parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        why = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: cannot be read ({why}): give a Parquet file with problem and answer"
        ) from None
    for number, row in enumerate(rows, 1):
        yield f"{path}:{number}", row


def _from_hub(name: str) -> tuple[Iterator[tuple[str, str]], str]:
    known = PUBLIC[name]
    origin = f"hub:{known.data_set} {known.subset or 'default'}/{known.split}"
    try:
        import datasets

        rows = datasets.load_dataset(known.data_set, known.subset, split=known.split)
    except (
        Exception
    ) as error:  # the hub's client raises a dozen kinds, each of them "it cannot be had"
        why = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f'{origin}: cannot be loaded ({why}): set data = "FOLDER" with {local_copies(name)[0]}'
            " in it"
        ) from None
    return (
        _pair(_in_one(row), f"{origin}:{number}") for number, row in enumerate(rows, 1)
    ), f"{origin} {rows._fingerprint}"


def _pair(row: Row, place: str) -> tuple[str, str]:
    """(problem, gold) of a row, whichever of the usual names its fields have."""
    problem = next(
        (
            row[name]
            for name in _PROBLEM_FIELDS
            if isinstance(row.get(name), str) and row[name].strip()
        ),
        None,
    )
    if problem is None:
        raise InputError(
            f"{place}: no problem: one of the fields {', '.join(_PROBLEM_FIELDS)} must hold its"
            " text"
        )
    gold = next((row[name] for name in _GOLD_FIELDS if row.get(name) not in (None, "")), None)
    if gold is None:
        raise InputError(
            f"{place}: no gold answer: one of the fields {', '.join(_GOLD_FIELDS)} must hold it"
        )
    if not isinstance(gold, str | int | float):
        raise InputError(
            f"{place}: the gold answer is a {type(gold).__name__}: give one text or number"
        )
    return problem, final_answer(gold)


def final_answer(gold: Any) -> str:
    """A gold answer as one line: after GSM8K's `####` with its thousands separators gone,
    numbers as text.
    """
    text = str(int(gold)) if isinstance(gold, float) and gold.is_integer() else str(gold)
    _, marked, after = text.rpartition("####")
    return re.sub(r"(?<=\d),(?=\d{3})", "", after.strip()) if marked else text.strip()


def _held_out(place: Path, runs: Sequence[Path]) -> tuple[Iterator[tuple[str, str]], str]:
    """Problems that training did not see. In this order: a list in the folder itself; what a
    training run's manifest says it held out, the folder's own or that of a run whose model is
    examined; the trainer's rule on the corpus.
    """
    if not place.is_dir():
        raise InputError(
            f"benchmarks: {HELD_OUT}{place}: no such folder: give a corpus or a training run"
        )
    for name in ("holdout.jsonl", "held-out.jsonl"):
        if (place / name).exists():
            return _from_file(place / name), str(place / name)
    if told := _told_by(place):
        return _pairs(told[0], told[1]), f"{place}/manifest.json"
    for run in runs:
        told = _told_by(run)
        if told and place.resolve() in [corpus.resolve() for corpus in told[0]]:
            return _pairs([place], told[1]), f"{place}/traces, held out by {run}"
    identities = set(
        held_out_problems(
            (trace.problem_id for trace in read_traces(place)), HELD_OUT_SHARE, HELD_OUT_SEED
        )
    )
    return (
        _pairs([place], identities),
        f"{place}/traces, {HELD_OUT_SHARE:.0%} of the problems, seed {HELD_OUT_SEED}",
    )


def _told_by(run: Path) -> tuple[list[Path], set[str]] | None:
    """(corpora, ids of held-out problems) from a training run's manifest."""
    try:
        data = orjson.loads((run / "manifest.json").read_bytes())["data"]
        return [Path(c) for c in dict.fromkeys(shard["corpus"] for shard in data["shards"])], set(
            data["held_out_problems"]
        )
    except (
        OSError,
        orjson.JSONDecodeError,
        LookupError,
        TypeError,
    ):  # no manifest, or not a training run's
        return None


def _pairs(corpora: Sequence[Path], identities: Set[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for corpus in corpora:
        for trace in read_traces(corpus):
            if (
                trace.problem_id in identities
                and trace.problem_id not in seen
                and trace.gold is not None
            ):
                seen.add(trace.problem_id)
                yield trace.problem, trace.gold
