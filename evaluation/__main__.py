"""`python -m evaluation …`: the evaluation's commands."""

from shared.startup import end_on_a_signal

if __name__ == "__main__":  # before anything else is imported, which takes its time
    end_on_a_signal("before the first answer")

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from shared.command_line import ShowVersion, add_json, print_schema
from shared.destinations import check_destination, check_outside_corpora
from shared.errors import loading, run_and_exit

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    Libraries are imported inside: Ctrl-C while they load ends like Ctrl-C at any time.
    """
    # Before torch is imported: threads that wait by spinning cost a busy machine most of its time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with loading():
        args = _parser().parse_args(argv)
    code: int = args.run(args)
    return code


def _run(args: argparse.Namespace) -> int:
    from evaluation.config import EvaluationConfig
    from shared.config import load

    config = load(EvaluationConfig, args.config, args.set)
    check_outside_corpora(config.out)
    console = _console()
    from evaluation.pipeline import evaluate

    comparison = evaluate(
        config, quick=args.quick, fresh=args.fresh, command=_command(args), console=console
    )
    _show(comparison, config.out, console)
    return 0


def _compare(args: argparse.Namespace) -> int:
    from evaluation.results.finished_runs import compare_runs

    if args.out is not None:
        check_outside_corpora(args.out)
    comparison = compare_runs(args.a, args.b, args.out)
    if args.json:
        print(json.dumps(comparison, ensure_ascii=False))
        return 0
    _show(comparison, args.out, _console())
    return 0


def _report(args: argparse.Namespace) -> int:
    from evaluation.results.finished_runs import report_again

    for run in args.runs:
        print(report_again(run))
    return 0


def _weak(args: argparse.Namespace) -> int:
    from evaluation.failure_mining import write_weak

    if args.out is not None:
        check_destination(args.out, args.force)  # before minutes of search
    print(write_weak(args.run_folder, args.model, args.source, args.neighbours, args.out))
    return 0


def _show(comparison: dict[str, Any], out: Path | None, console: Any) -> None:
    from evaluation.report.terminal import show

    show(comparison, console)
    if out is not None:
        files = f"{out}/comparison.json\n{out}/report.html"
        console.print(files, soft_wrap=True, highlight=False, markup=False)


def _console() -> Any:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120)


def _command(args: argparse.Namespace) -> str:
    """The command that makes the same numbers again."""
    words = ["python", "-m", "evaluation", "run", str(args.config)]
    for item in args.set:
        words += ["--set", item]
    if args.quick:
        words.append("--quick")
    return shlex.join(words)


def _parser() -> argparse.ArgumentParser:
    from evaluation.config import EvaluationConfig
    from shared.config import explain

    parser = argparse.ArgumentParser(
        "python -m evaluation",
        description="Did the student get better, how much, and are we sure?",
        epilog="Every key of the configuration:\n\n" + explain(EvaluationConfig),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands, parser.epilog)
    _add_compare(commands)
    _add_report(commands)
    _add_weak(commands)
    schema = commands.add_parser("schema", help="the configuration's JSON Schema, for editors")
    schema.set_defaults(run=lambda _: print_schema(EvaluationConfig))
    return parser


def _add_run(commands: _Commands, epilog: str | None) -> None:
    run = commands.add_parser(
        "run",
        help="evaluate, compare, report; goes on where it was stopped",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("config", type=Path, metavar="CONFIG.toml")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. limit=100, engine.batch=64",
    )
    run.add_argument(
        "--quick",
        action="store_true",
        help="stop as soon as a sequential test is clear (5%% and 10%% error)",
    )
    run.add_argument(
        "--fresh",
        action="store_true",
        help="forget the answers kept for these models and ask again",
    )
    run.set_defaults(run=_run)


def _add_compare(commands: _Commands) -> None:
    compare = commands.add_parser("compare", help="any two finished runs, paired by problem")
    compare.add_argument(
        "a",
        type=Path,
        metavar="RUN_A",
        help="a run's folder, or one model's folder in it; the base",
    )
    compare.add_argument("b", type=Path, metavar="RUN_B")
    compare.add_argument(
        "--out", type=Path, help="also write comparison.json and report.html there"
    )
    add_json(compare)
    compare.set_defaults(run=_compare)


def _add_report(commands: _Commands) -> None:
    report = commands.add_parser(
        "report", help="write comparison.json and report.html of finished runs again"
    )
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    report.set_defaults(run=_report)


def _add_weak(commands: _Commands) -> None:
    weak = commands.add_parser(
        "weak", help="the problems that a model fails, as a problem source for the generator"
    )
    weak.add_argument("run_folder", type=Path, metavar="RUN")
    weak.add_argument(
        "--model", default="", help="which model of the run; default: the last, the tuned one"
    )
    weak.add_argument(
        "--source",
        type=Path,
        help=(
            "training problems, a .jsonl or a corpus: those nearest to the failed ones are written;"
            " without it only problems held out of a corpus may be written themselves"
        ),
    )
    weak.add_argument(
        "--neighbours",
        type=int,
        default=4,
        metavar="N",
        help="of each failed problem, with --source",
    )
    weak.add_argument("--out", type=Path, help="default: RUN/weak.jsonl")
    weak.add_argument(
        "--force", action="store_true", help="replace a file that this program did not write"
    )
    weak.set_defaults(run=_weak)


if __name__ == "__main__":
    run_and_exit(main)
