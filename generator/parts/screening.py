"""`python -m generator screen CONFIG.toml --parts N --on local:W`: the problems of local data are
screened in pieces, before a call is spent and before a run needs it.

What is left out, and every file in `CORPUS/screening`, is what one process would have decided.
`run` finds it there, in one process or in parts.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from generator.config import GeneratorConfig, ProblemsConfig, ScreeningConfig
from generator.intake import Intake, evaluation_sets
from generator.parts.command_line import configuration, takes_configuration, takes_launcher
from generator.parts.launchers import Slurm, TaskRunner, parse_launcher, task_runner
from generator.parts.part import Part, check_count
from generator.parts.slurm import job_script
from generator.parts.tasks import Task, Values
from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.parts import recorded_parts

EVALUATION = ".evaluation.json"  # the texts that are kept out, for workers that load none
PROGRESS_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `screen`."""
    parser.description = __doc__
    takes_configuration(parser)
    takes_launcher(parser)
    parser.add_argument("--part", metavar="K/N", help="one piece alone, as an array job does it")


def run(args: argparse.Namespace) -> int:
    """Screen; the exit code. Errors: `InputError`, `CannotWrite`."""
    config = configuration(args)
    if args.part:
        screen_part(config, Part.parse(args.part))
        return 0
    if not args.parts:
        intake = _intake(config)
        intake.screen_local()
        _tell(config, intake)
        return 0
    parts = check_count(args.parts)
    _check_recorded(Path(config.corpus), parts)
    launcher = parse_launcher(args.on)
    if isinstance(launcher, Slurm):
        print(job_script("screen", args, config, launcher), end="")
        return 0
    with task_runner(launcher) as runner:
        intake = screen_in_parts(config, parts, runner)
    _tell(config, intake)
    return 0


def screen_in_parts(config: GeneratorConfig, parts: int, runner: TaskRunner) -> Intake:
    """Screen in so many pieces, or find it done. Errors: as `Intake`."""
    evaluation = evaluation_sets(config.problems, config.screening)
    intake = _intake(config, evaluation)
    if not intake.begin_pieces():
        intake.screen_local()
        return intake
    path = _evaluation_path(config)
    write_atomically(path, orjson.dumps(evaluation))
    missing = intake.missing_pieces(parts)
    tasks = [
        Task("screen", piece, {**_values(config), "piece": piece, "pieces": parts})
        for piece in missing
    ]
    told_at = time.monotonic()
    for number, _ in enumerate(runner.outcomes(tasks), 1):
        if time.monotonic() - told_at >= PROGRESS_SECONDS:
            told_at = time.monotonic()
            print(f"screening: {number:,} of {len(tasks):,} pieces", flush=True)
    intake.settle_pieces(parts)
    path.unlink(missing_ok=True)
    return intake


def screen_part(config: GeneratorConfig, part: Part) -> None:
    """One piece, and where it was the last one the decision as well. Errors: as `Intake`."""
    _check_recorded(Path(config.corpus), part.parts)
    intake = _intake(config)
    if not intake.begin_pieces():
        print(f"{part}: everything is screened")
        return
    intake.screen_piece(part.number, part.parts)
    missing = len(intake.missing_pieces(part.parts))
    if missing:
        print(f"{part}: screened, {missing:,} pieces are to be done")
        return
    intake.settle_pieces(part.parts)
    intake.screen_local()
    _tell(config, intake)


def perform(values: Values) -> Values:
    """The task of a worker: pass one of one piece."""
    evaluation = orjson.loads(Path(values["evaluation"]).read_bytes())
    intake = Intake(
        ProblemsConfig.model_validate(values["problems"]),
        ScreeningConfig.model_validate(values["screening"]),
        Path(values["corpus"]),
        needs_gold=values["needs_gold"],
        evaluation=evaluation,
    )
    intake.screen_piece(values["piece"], values["pieces"])
    return {}


def _intake(config: GeneratorConfig, evaluation: Mapping[str, list[str]] | None = None) -> Intake:
    return Intake(
        config.problems,
        config.screening,
        Path(config.corpus),
        needs_gold=not config.sampling.keep_unverifiable,
        evaluation=evaluation,
    )


def _values(config: GeneratorConfig) -> dict[str, Any]:
    return {
        "problems": config.problems.model_dump(mode="json"),
        "screening": config.screening.model_dump(mode="json"),
        "corpus": str(Path(config.corpus).resolve()),
        "needs_gold": not config.sampling.keep_unverifiable,
        "evaluation": str(_evaluation_path(config).resolve()),
    }


def _evaluation_path(config: GeneratorConfig) -> Path:
    return Path(config.corpus) / "screening" / EVALUATION


def _check_recorded(corpus: Path, parts: int) -> None:
    recorded_count = recorded_parts(corpus)
    if recorded_count and recorded_count != parts:
        raise InputError(
            f"{corpus}: divided into {recorded_count} parts: screen it in"
            f" {recorded_count}, or choose another"
            " `corpus`"
        )


def _tell(config: GeneratorConfig, intake: Intake) -> None:
    summary = intake.screening.summary
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary.left_out.most_common())
    print(
        f"{config.corpus}/screening: {summary.rows:,} problems screened, left out:"
        f" {reasons or 'none'}"
    )
