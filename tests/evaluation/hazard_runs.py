"""Small evaluations of a server and of a tiny model, for the tests of what goes wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.evaluation.conftest import (
    Endpoint,
    Reply,
    Script,
    number_of,
    rows_of,
    write_config,
    write_problems,
)

Serve = Callable[[Script], Endpoint]
ROOT = Path(__file__).parents[2]


def right(problem: str, *_: Any) -> Reply:
    return {"text": f"\\boxed{{{number_of(problem)}}}"}


def endpoint_run(
    serve: Serve, folder: Path, script: Script, n: int = 6, **generation: Any
) -> tuple[Path, Endpoint]:
    endpoint = serve(script)
    problems = write_problems(folder / "p.jsonl", n)
    return (
        write_config(
            folder / "c.toml",
            endpoint,
            ["m"],
            str(problems),
            **({"max_new_tokens": 64} | generation),
        ),
        endpoint,
    )


def tiny_run(folder: Path, model: Path, **generation: Any) -> Path:
    problems = write_problems(folder / "p.jsonl", 5)
    return write_config(
        folder / "c.toml",
        None,
        [str(model)],
        str(problems),
        **({"max_new_tokens": 12} | generation),
    )


def answers(config: Path) -> list[dict[str, Any]]:
    return rows_of(next((config.parent / "out").glob("*m/p/answers.jsonl")))
