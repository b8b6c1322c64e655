"""The pinned packages of this environment install on every Python that pyproject.toml admits."""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
NAME = Path(sys.prefix).name


@pytest.mark.skipif(not (ROOT / "constraints" / f"{NAME}.txt").exists(), reason="not in .venv/NAME")
def test_no_pin_asks_for_a_newer_python_than_the_project() -> None:
    """Debian 12 has Python 3.11.2; a pin that asks for 3.11.5 resolves on the developer's
    machine and not there.
    """
    python_range = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "requires-python"
    ]
    oldest = python_range.removeprefix(">=") + ".0"
    assert oldest == "3.11.0"
    bad_pins = []
    looked_at = 0
    for line in (ROOT / "constraints" / f"{NAME}.txt").read_text().splitlines():
        package = line.partition("==")[0].strip()
        if not package or package.startswith("#"):
            continue
        try:
            asks = metadata(package)["Requires-Python"]
        except PackageNotFoundError:  # needed on other systems only
            continue
        looked_at += 1
        if asks and oldest not in SpecifierSet(asks):
            bad_pins.append(f"{line} asks for Python {asks}")
    assert not bad_pins
    assert looked_at > 20
