"""Files of problems, and what of them passes the screening."""

import json
from pathlib import Path
from typing import Any

from generator.config import ProblemsConfig, ScreeningConfig
from generator.intake import Intake
from generator.screening import Screening


def write_problems(path: Path, texts: list[str], golds: list[str] | None = None) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(
                json.dumps({"problem": text, "answer": golds[number] if golds else "1"}) + "\n"
            )
    return path


def screened(
    source: Path, corpus: Path, exclude: tuple[str, ...] = (), **keys: Any
) -> tuple[list[str], Screening]:
    """(texts that pass, the screening) of one intake."""
    intake = Intake(
        ProblemsConfig(source=str(source), exclude=exclude), ScreeningConfig(**keys), corpus
    )
    return [problem.text for problem in intake.open()], intake.screening
