"""What can be kept out of a corpus can be asked, and the other way round: one name, one data set,
in all three programs.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks import load_benchmark
from generator.problems.evaluation_sets import evaluation_texts
from shared.benchmarks.names import PUBLIC, HubSet
from shared.errors import InputError
from shared.records import Trace
from tests.trainer.corpora import trace, write_corpus
from trainer.data.decontamination import read_benchmarks

Reader = Callable[[str, str], list[str]]


def excluded_by_the_generator(name: str, copies: str) -> list[str]:
    return evaluation_texts(name, copies)


def excluded_by_the_trainer(name: str, copies: str) -> list[str]:
    return read_benchmarks([name]).texts


def asked_by_the_evaluation(name: str, copies: str) -> list[str]:
    questions = load_benchmark(name, copies, 0, "", "{problem}").questions
    assert all(question.gold for question in questions)
    return [question.problem for question in questions]


PROGRAMS = (excluded_by_the_generator, excluded_by_the_trainer, asked_by_the_evaluation)
WITH_COPIES = (excluded_by_the_generator, asked_by_the_evaluation)
each_program = pytest.mark.parametrize("program", PROGRAMS)

# One row of each benchmark in the shape that the hub has it.
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "How many eggs are left of 16?", "answer": "16 - 7 = 9\n#### 9"},
    "math_500": {"problem": "Convert the point $(0,3)$.", "answer": "(3, \\frac{\\pi}{2})"},
    "aime24": {"problem": "Every morning Aya walks.", "answer": "204"},
    "aime25": {"problem": "Find the sum of all bases.", "answer": 70},
    "amc23": {"question": "Cities A and B are 45 miles apart.", "answer": 9.0},
    "olympiadbench": {"question": "Determine both roots.", "final_answer": ["$2$", "$5$"]},
    "minerva_math": {"question": "How far is the star?", "answer": "3e17"},
    "mmlu_pro": {"question": "Which is even?", "options": ["3", "8"], "answer": "B"},
} | {
    f"gpqa:{subset}": {
        "Question": f"Which of these four decays is forbidden by the {subset} rule of the shell?",
        "Correct Answer": "alpha",
        "Incorrect Answer 1": "beta",
        "Incorrect Answer 2": "gamma",
        "Incorrect Answer 3": "delta",
    }
    for subset in ("diamond", "main", "extended")
}


def problem_in(row: dict[str, Any]) -> str:
    return str(row.get("problem") or row.get("question") or row["Question"])


def write_lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_hub_set(hub: Path, hub_set: HubSet, row: dict[str, Any]) -> None:
    """A folder that `datasets` opens by the hub's name, from the current directory. Another
    subset of the same data set is added to it.
    """
    folder = hub / hub_set.data_set
    subset = hub_set.subset or "default"
    path = f"{subset}-{hub_set.split}.jsonl"
    write_lines(folder / path, row)
    card = folder / "README.md"
    configs = card.read_text().removesuffix("---\n") if card.exists() else "---\nconfigs:\n"
    card.write_text(
        f"{configs}- config_name: {subset}\n  data_files:\n"
        f"  - split: {hub_set.split}\n    path: {path}\n---\n"
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All public benchmarks, one row each, where `datasets` finds them without a network."""
    for key, hub_set in PUBLIC.items():
        write_hub_set(tmp_path, hub_set, ROWS[key])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_program
@pytest.mark.parametrize("key", PUBLIC)
def test_a_public_benchmark_is_read_from_the_hub_by_every_program(
    hub: Path, program: Reader, key: str
) -> None:
    (problem,) = program(key, "")
    assert problem.startswith(problem_in(ROWS[key]))


@each_program
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("MATH-500", "math_500"),
        ("gsm8k:test", "gsm8k"),
        ("AMC23", "amc23"),
        ("OlympiadBench", "olympiadbench"),
        ("aime_2024", "aime24"),
        ("GPQA-Diamond", "gpqa:diamond"),
        ("MMLU-Pro", "mmlu_pro"),
    ],
)
def test_spelling_is_no_matter_to_any_program(
    hub: Path, program: Reader, name: str, key: str
) -> None:
    (problem,) = program(name, "")
    assert problem.startswith(problem_in(ROWS[key]))


@each_program
def test_any_data_set_of_the_hub_is_read_by_its_name_and_split(hub: Path, program: Reader) -> None:
    own = {"problem": "What is 2 + 3?", "answer": "5"}
    write_hub_set(hub, HubSet("someone/exams", "hard", "validation"), own)
    (hub / "someone/exams").rename(hub / "someone/exams-2")
    assert program("someone/exams-2:hard:validation", "") == ["What is 2 + 3?"]


@each_program
@pytest.mark.parametrize("field", ["problem", "question", "prompt", "input"])
def test_a_file_is_read_by_every_program_whatever_its_field_is_called(
    tmp_path: Path, program: Reader, field: str
) -> None:
    path = write_lines(tmp_path / "own.jsonl", {field: "What is 7?", "answer": 7})
    assert program(str(path), "") == ["What is 7?"]


@each_program
def test_a_folder_of_files_is_read_by_every_program(tmp_path: Path, program: Reader) -> None:
    write_lines(tmp_path / "own/a.jsonl", {"problem": "What is 7?", "answer": 7})
    write_lines(tmp_path / "own/b.jsonl", {"problem": "What is 8?", "answer": 8})
    assert program(str(tmp_path / "own"), "") == ["What is 7?", "What is 8?"]


@each_program
@pytest.mark.parametrize("file", ["own.csv", "own.tsv.gz", "own.jsonl.gz", "own.json"])
def test_a_file_is_read_by_every_program_in_whatever_format(
    tmp_path: Path, program: Reader, file: str
) -> None:
    content = '{"problem": "What is 7?", "answer": 7}\n'
    if file == "own.json":
        content = f"[{content}]"
    elif "sv" in file:
        comma = "\t" if "tsv" in file else ","
        content = f"problem{comma}answer\nWhat is 7?{comma}7\n"
    data = content.encode()
    (tmp_path / file).write_bytes(gzip.compress(data) if file.endswith(".gz") else data)
    assert program(str(tmp_path / file), "") == ["What is 7?"]
    (tmp_path / "copies").mkdir()
    (tmp_path / file).rename(tmp_path / "copies" / file.replace("own", "gsm8k"))
    if program in WITH_COPIES:
        assert program("gsm8k", str(tmp_path / "copies")) == ["What is 7?"]


@pytest.mark.parametrize("program", [excluded_by_the_generator, excluded_by_the_trainer])
def test_a_task_of_lightevals_is_kept_out_by_its_data_set(program: Reader) -> None:
    with pytest.raises(InputError, match=r"'lighteval:gsm8k': lighteval's tasks .* OWNER/NAME"):
        program("lighteval:gsm8k", "")


@each_program
def test_held_out_problems_of_a_corpus_are_read_by_every_program(
    tmp_path: Path, program: Reader
) -> None:
    traces: list[Trace] = [trace(number) for number in range(100)]
    corpus = write_corpus(tmp_path / "corpus", traces)
    problems = program(f"held-out:{corpus}", "")
    assert len(problems) == 2
    assert set(problems) < {each.problem for each in traces}


@pytest.mark.parametrize("program", WITH_COPIES)
@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("gsm8k", "gsm8k/test.jsonl"),
        ("gsm8k:test", "gsm8k.jsonl"),
        ("gsm8k", "gsm8k_test.jsonl"),
        ("openai/gsm8k", "gsm8k/main/test.jsonl"),
        ("MATH-500", "math500/test.jsonl"),
        ("math_500", "MATH-500/test.jsonl"),
        ("math_500", "HuggingFaceH4/MATH-500/test.jsonl"),
        ("aime24", "aime/aime24.jsonl"),
        ("aime24", "aime_2024.jsonl"),
        ("aime25", "yentinglin/aime_2025/train.jsonl"),
        ("minerva_math", "minervamath/test.jsonl"),
        ("someone/exams:hard:test", "exams/hard/test.jsonl"),
        ("someone/exams:validation", "exams/validation.jsonl"),
        ("gpqa:diamond", "gpqa_diamond.jsonl"),
        ("gpqa:main", "gpqa/main.jsonl"),
        ("gpqa:extended", "Idavidrein/gpqa/gpqa_extended.jsonl"),
        ("mmlu_pro", "MMLU-Pro/data/test.jsonl"),
    ],
)
def test_a_local_copy_is_recognised_by_every_program_that_looks_for_one(
    tmp_path: Path, program: Reader, name: str, copy: str
) -> None:
    write_lines(tmp_path / "gsm8k/train.jsonl", {"question": "not this", "answer": "1"})
    write_lines(tmp_path / "gpqa/train.jsonl", {"question": "not this", "answer": "1"})
    write_lines(tmp_path / copy, {"question": "What is 7?", "answer": "7"})
    assert program(name, str(tmp_path)) == ["What is 7?"]


@pytest.mark.parametrize("program", WITH_COPIES)
def test_a_copy_in_several_files_is_read_whole(tmp_path: Path, program: Reader) -> None:
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "gsm8k/main"
    folder.mkdir(parents=True)
    for part in range(2):
        rows = pyarrow.Table.from_pylist([{"question": f"What is {part}?", "answer": "#### 1"}])
        pyarrow.parquet.write_table(rows, folder / f"test-{part:05}-of-00002.parquet")
    assert program("gsm8k", str(tmp_path)) == ["What is 0?", "What is 1?"]


@each_program
@pytest.mark.parametrize("name", ["gsm9k", "gsm8k:train"])
def test_an_unknown_name_is_refused_with_the_known_ones(program: Reader, name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}' is unknown: use gsm8k, math_500, .*held-out:"):
        program(name, "")


@each_program
@pytest.mark.parametrize(
    ("name", "nearest"),
    [("gpqa", "gpqa:diamond"), ("minerva", "minerva_math"), ("AIME-25x", "aime25")],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    program: Reader, name: str, nearest: str
) -> None:
    with pytest.raises(InputError, match=rf"unknown: use .*; nearest: .*{nearest}"):
        program(name, "")


@each_program
def test_a_split_that_the_hub_has_not_is_one_line_that_names_a_remedy(
    hub: Path, program: Reader
) -> None:
    write_hub_set(hub, HubSet("someone/exams", "hard", "test"), ROWS["gsm8k"])
    with pytest.raises(InputError, match=r"cannot be loaded .*(in it|data\.exclude)$") as refusal:
        program("someone/exams:hard:validation", "")
    assert "\n" not in str(refusal.value)
