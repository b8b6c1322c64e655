"""The dependency audit: what it finds, and that it says when it has not looked."""

from pathlib import Path

import pytest

from tests import audit


def test_a_pin_older_than_the_mend_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Torch==2.5.1  # old\naiohttp[speedups]==3.13.0\n# jinja2==1\n")
    (tmp_path / "advisories.toml").write_text(
        (audit.CONSTRAINTS / "advisories.toml").read_text(encoding="utf-8")
    )
    (fault,) = audit.known_faults(tmp_path)
    assert fault.startswith("x.txt: torch 2.5.1: CVE-2025-32434, fixed in 2.6.0")


def test_no_pin_of_ours_is_in_the_kept_list() -> None:
    assert len(list(audit.pins())) > 100
    assert audit.known_faults() == []


def test_an_audit_that_could_not_look_says_so_and_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.audit.importlib.util.find_spec", lambda name: None)
    assert audit.main() == 2
    assert "the audit did NOT run (pip-audit is not installed" in capsys.readouterr().out
