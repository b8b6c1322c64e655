"""What the fuzzing has kept: inputs that reach far and inputs that broke something once."""

from pathlib import Path

import pytest

from tests.fuzz.search import FOLDER, blind, corpus_of
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_kept_of_a_target_breaks_a_promise(name: str) -> None:
    paths = corpus_of(name)
    assert paths
    for path in paths:
        TARGETS[name](path.read_bytes())


def test_an_input_that_breaks_a_promise_is_kept_and_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.search.FOLDER", tmp_path)
    monkeypatch.setattr("tests.fuzz.search.ROOT", tmp_path)
    (tmp_path / "corpus" / "x").mkdir(parents=True)
    (tmp_path / "corpus" / "x" / "seed").write_bytes(b"abc")

    def breaks(data: bytes) -> None:
        assert len(data) < 10

    assert blind("x", breaks, 60, 1) == 1
    (crash,) = (tmp_path / "crashes" / "x").iterdir()
    assert len(crash.read_bytes()) >= 10
    assert "AssertionError" in capsys.readouterr().err


def test_everything_that_is_kept_is_small() -> None:
    paths = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".py"]
    sizes = [path.stat().st_size for path in paths if "__pycache__" not in path.parts]
    assert max(sizes) <= 8192
    assert sum(sizes) < 1_000_000
