"""Training runs as users start them: in processes of their own."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.preloaded_programs import Process, start_program

ROOT = Path(__file__).resolve().parents[2]
# Not `--cpu`, with which accelerate starts one process whatever is asked: without a GPU, two share
# the processor.
LAUNCH = [
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
]


def write_config(folder: Path, model: Path, corpus: Path, **tables: Any) -> Path:
    """A configuration for a tiny model: seconds, not minutes. `tables` override keys of their
    table.
    """
    tree: dict[str, Any] = {
        "run": str(folder / "run"),
        "model": str(model),
        "corpora": [str(corpus)],
        "train": {
            "max_length": 512,
            "batch": 8,
            "learning_rate": 1e-2,
            "save_steps": 4,
            "logging_steps": 1,
            "holdout": 0.05,
            "max_steps": 12,
            "precision": "fp32",
        },
        "probe": {"problems": 2, "every_steps": 6, "max_new_tokens": 16},
    }
    for name, value in tables.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) and name in tree else value
    path = folder / "train.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_toml(tree), encoding="utf-8")
    return path


def start(
    *arguments: str,
    group: bool = False,
    module: str = "trainer",
    **environment: str,
) -> Process:
    """`python -m trainer …` with its output to be read; `group`: in a process group that
    signals can go to; `module`: what stands around the trainer.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
    return start_program(module, arguments, env, cwd=ROOT, group=group, merge=True)


def finish(process: Process, timeout: float = 240) -> tuple[int, str]:
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def wait_for(process: Process, words: str) -> str:
    """Read the process's output until a line has `words`; the lines so far."""
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if words in line:
            return output
    raise AssertionError(f"ended without {words!r}:\n{output}")


def metrics(run: Path, key: str = "loss") -> dict[int, float]:
    """{step: value} of the lines of metrics.jsonl that have `key`."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


def _toml(tree: dict[str, Any]) -> str:
    plain = [
        f"{key} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)
    ]
    tables = [f"[{key}]\n{_toml(value)}" for key, value in tree.items() if isinstance(value, dict)]
    return "\n".join(plain + tables) + "\n"
