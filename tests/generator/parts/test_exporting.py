"""An export whose shards are read by workers is to the byte that of one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.__main__ import main
from generator.parts.local import AHEAD, LocalWorkers
from generator.parts.tasks import Task
from shared.errors import InputError
from shared.parts import part_folder, part_of, record_parts
from shared.shards import sealed_files
from tests.generator.corpora import trace, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts of more than a row group in all, several samples a problem."""
    folder = tmp_path_factory.mktemp("source") / "corpus"
    record_parts(folder, 3)
    traces = [
        trace(
            f"What is {n} + 4 - {n}?", sample, str(4 + (n + sample) % 5 // 4), tokens=50 + n % 400
        )
        for n in range(900)
        for sample in range(3)
    ]
    for part in range(3):
        own = [each for each in traces if part_of(each.problem_id, 3) == part]
        write_corpus(part_folder(folder, part), own)
    return folder


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chat.jsonl", ["--pick", "shortest", "--held-out", "0.1"]),
        ("rows.parquet", ["--repair", "--pass-rate", "0.1:0.9"]),
        ("folder/", ["--drop-flags", "all", "--min-tokens", "200"]),
    ],
)
def test_workers_write_what_one_process_writes(
    corpus: Path,
    tmp_path: Path,
    name: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    reports = []
    for place, on in (("one", []), ("many", ["--on", "local:2"])):
        (tmp_path / place).mkdir()
        destination = f"{tmp_path / place}/{name}"
        assert main(["export", str(corpus), destination, *words, *on]) == 0
        reports.append(capsys.readouterr().out.replace(str(tmp_path / place), ""))
    assert reports[0] == reports[1]
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (tmp_path / "one", tmp_path / "many")
    ]
    assert files[0] == files[1]
    assert len(files[0]) >= 1


def test_a_destination_inside_the_corpus_is_refused(corpus: Path) -> None:
    for place in (corpus / "x.jsonl", corpus / "part-0001" / "x.jsonl", corpus / "new" / "x.jsonl"):
        with pytest.raises(InputError, match="inside the corpus"):
            main(["export", str(corpus), str(place), "--on", "local:2"])


def test_workers_run_only_so_far_ahead_of_who_writes(corpus: Path) -> None:
    file = sealed_files(corpus, "traces")[0]
    begun = []

    def tasks() -> Iterator[Task]:
        for number in range(40):
            begun.append(number)
            yield Task("export failures", number, {"file": str(file)})

    with LocalWorkers(1) as workers:
        outcomes = workers.outcomes(tasks())
        next(outcomes)
        assert len(begun) == AHEAD
        assert len(list(outcomes)) == 39
