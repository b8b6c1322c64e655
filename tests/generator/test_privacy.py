"""What other users of the machine, and whoever reads the log, get to see: no key, no password, no corpus."""

import os
from pathlib import Path

import pytest

from tests.generator.running import configure, generator, rehearsal


def modes(corpus: Path) -> dict[str, str]:
    return {str(path.relative_to(corpus)): f"{path.stat().st_mode & 0o777:o}" for path in [corpus, *corpus.rglob("*")]}


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o022, "700", "600"), (0o002, "700", "600"), (0o027, "750", "640")]
)
def test_a_corpus_is_its_owners_unless_the_umask_names_the_group(
    tmp_path: Path, umask: int, folder: str, file: str
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "What is 2 + 2?", "answer": "4"}\n{"problem": "What is 3 + 3?", "answer": "6"}\n')
    before = os.umask(umask)
    try:
        with rehearsal() as teacher:
            config = configure(
                tmp_path, teacher.url, problems__source=str(problems), problems__exclude=[str(problems)], shards__rows=1
            )
            assert generator("plan", config).returncode == 0
            assert generator("run", config).returncode == 0
            assert generator("run", config, "--set", "problems.exclude=[]").returncode == 0
            assert generator("report", tmp_path / "corpus").returncode == 0
            assert generator("reindex", tmp_path / "corpus").returncode == 0
    finally:
        os.umask(before)
    found = modes(tmp_path / "corpus")
    assert {"config.json", "ledger.sqlite", "report.html", ".lock", "screening/excluded.jsonl"} <= set(found)
    assert set(found.values()) == {folder, file}


def test_a_corpus_that_was_opened_by_hand_stays_open(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=2)
        assert generator("run", config).returncode == 0
        for path in [tmp_path / "corpus", *(tmp_path / "corpus").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert generator("run", config, "--set", "problems.limit=6").returncode == 0
    assert set(modes(tmp_path / "corpus").values()) == {"755", "644"}
