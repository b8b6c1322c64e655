"""The notebook's cells run, in their order, in a copy of the checkout."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
ELSEWHERE = {"needs-network", "needs-key", "needs-gpu", "long"}  # what a cell's tags may ask for
MAGIC = "%%bash\n"


def code_cells() -> list[tuple[str, set[str]]]:
    """(commands, tags) of each cell with commands."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), set(cell["metadata"].get("tags", ())))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_every_cell_is_a_shell_cell_whose_needs_are_known_and_told() -> None:
    for source, tags in code_cells():
        assert source.startswith(MAGIC)
        assert tags <= ELSEWHERE
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "(needs a key)" in text
    assert "(needs a hub and a GPU)" in text


@pytest.mark.skipif(
    not (ROOT / ".venv/generator/.ready").exists(), reason="needs the generator's environment"
)
def test_the_cells_that_need_nothing_run_in_their_order(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints", "shared", "generator", "configs"):
        place = ROOT / name
        target = tmp_path / name
        if place.is_dir():
            shutil.copytree(place, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(place, target)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    outputs = []
    for source, tags in code_cells():
        if tags & ELSEWHERE:
            continue
        process = subprocess.run(
            ["bash", "-e"],
            input=source.removeprefix(MAGIC),
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert process.returncode == 0, process.stderr
        outputs.append(process.stdout)
    assert "20 samples" in outputs[0]
    assert "whole" in outputs[1]
    assert json.loads(outputs[2])["samples_finished"] == 20
    assert (tmp_path / "notebook.jsonl").exists()
