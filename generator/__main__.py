"""`python -m generator …`: the generator's commands."""

from shared.startup import end_on_a_signal, is_run, remember_hangups

if __name__ == "__main__":  # before anything else is imported, which takes its time
    end_on_a_signal("before the first call")
    if is_run():
        remember_hangups()

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from shared.command_line import ShowVersion, add_json, print_result, print_schema
from shared.errors import InputError, loading, run_and_exit

if TYPE_CHECKING:
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

REHEARSAL_LINE = (
    "rehearsal: a teacher in a process of its own on this machine answers; no key, no cost."
)
DEFAULT_LINE = (
    "rehearsal: a rule-based teacher on this machine answers, now and then wrong on purpose; no"
    " key, no cost.\nFor a real teacher: export MODELSCOPE_SDK_TOKEN=… and `make generate"
    " CONFIG=configs/numina-modelscope.toml`."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Libraries are imported inside: Ctrl-C while they are is
    told as at any time.
    """
    words = sys.argv[1:] if argv is None else argv
    with loading():
        args = _parser(words[:1]).parse_args(words)
    code: int = args.run(args)
    return code


def _run(args: argparse.Namespace) -> int:
    if args.part or args.parts:
        from generator.parts.running import run_in_parts

        return run_in_parts(args, _verdicts(args.retry))
    from generator.parts.command_line import configuration
    from generator.pipeline import generate
    from generator.rehearsal.launch import rehearses

    config = configuration(args)
    if rehearses(config):
        print(REHEARSAL_LINE if args.config else DEFAULT_LINE, flush=True)
    generate(config, _verdicts(args.retry), read_again=lambda: configuration(args))
    return 0


def _plan(args: argparse.Namespace) -> int:
    from generator.lanes import NoLane
    from generator.parts.command_line import configuration
    from generator.plan import plan

    outlook = plan(configuration(args), args.probe, _moment(args.by), args.usd)
    print_result(outlook.as_dict(), outlook.text, args.json)
    return 0 if outlook.usable else NoLane.exit_code


def _moment(text: str) -> "datetime | None":
    from datetime import datetime

    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--by {text}: write a date like 2026-12-05 or 2026-12-05T18:00") from None
    return moment.astimezone()


def _status(args: argparse.Namespace) -> int:
    from generator.parts.whole import status_of_whole

    status = status_of_whole(args.corpus)
    print_result(status.as_dict(), status.text(), args.json)
    return 0


def _check(args: argparse.Namespace) -> int:
    from generator.parts.whole import check_whole

    findings = check_whole(args.corpus)
    print_result(
        {"corpus": str(args.corpus), **asdict(findings)}, findings.text(args.corpus), args.json
    )
    return 1 if findings.faults else 0


def _reindex(args: argparse.Namespace) -> int:
    from generator.parts.whole import reindex_whole

    samples = reindex_whole(args.corpus)
    print(f"{args.corpus}: the ledger is rebuilt, {samples:,} samples noted")
    return 0


def _suspects(args: argparse.Namespace) -> int:
    from generator.quality.suspect_golds import FILE, write_suspects

    suspects = write_suspects(args.corpus)
    print(f"{args.corpus / FILE}: {len(suspects):,} problems whose samples agree against the gold")
    return 0


def _verdicts(text: str) -> frozenset[str]:
    from shared.records import VERDICTS

    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = names - set(VERDICTS)
    if unknown:
        raise InputError(
            f"--retry {text}: {min(unknown)!r} is no verdict: they are {', '.join(VERDICTS)}"
        )
    return names


# Commands that take a corpus: what runs them, and their help.
CORPUS_COMMANDS = {
    "status": (_status, "progress, rates, spend, why idle; while a run is going and after it"),
    "check": (
        _check,
        "integrity: hashes, unique ids, torn lines, ledger against shards; exit 1 on any fault",
    ),
    "reindex": (_reindex, "rebuild the ledger from the shards"),
    "suspects": (
        _suspects,
        "list the problems whose samples agree with each other and not with the gold",
    ),
}
# Commands of parts that bring libraries of their own: the module, and the command's help.
PART_COMMANDS = {
    "export": (
        "generator.parts.exporting",
        "chat JSONL, Parquet, or a data set on a hub, of the traces chosen",
    ),
    "report": (
        "generator.report",
        "one HTML page about a corpus: counts, lengths, pass rates, rejects, screening, samples to"
        " read",
    ),
    "import": (
        "generator.importer",
        "traces made elsewhere become an ordinary corpus: split, graded, sealed",
    ),
    "new": ("generator.new_configuration", "asks five questions and writes a configuration"),
    "regrade": (
        "generator.parts.regrade",
        "today's grader on old traces, into a new corpus; says what changed",
    ),
    "flags": ("generator.parts.reflag", "today's flags on old traces, into a new corpus"),
    "screen": (
        "generator.parts.screening",
        "find duplicates and copies of evaluation problems before a run; in parts with --parts",
    ),
    "batches": (
        "generator.batch.command",
        "files of requests that are at a provider; adopt, release or cancel one",
    ),
    "rehearse": ("generator.rehearsal.command", "the rehearsal teacher alone"),
}


def _parser(command_words: Sequence[str]) -> argparse.ArgumentParser:
    from generator.config import GeneratorConfig
    from shared.config import explain

    parser = argparse.ArgumentParser(
        "python -m generator",
        description="From a problem set to a corpus of verified reasoning traces.",
        epilog="Every key of the configuration:\n\n" + explain(GeneratorConfig),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands, parser.epilog)
    _add_plan(commands)
    for name, (function, text) in CORPUS_COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("corpus", type=Path, metavar="CORPUS")
        if name in ("status", "check"):
            add_json(command)
        command.set_defaults(run=function)
    schema = commands.add_parser("schema", help="the configuration's JSON Schema, for editors")
    schema.set_defaults(run=lambda _: print_schema(GeneratorConfig))
    for name in PART_COMMANDS:
        _add_part(commands, name, is_called=name in command_words)
    return parser


def _add_run(commands: "Commands", epilog: str | None) -> None:
    from generator.parts.command_line import takes_configuration, takes_launcher

    run = commands.add_parser(
        "run",
        help="run until the work is done",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    takes_configuration(run)
    run.add_argument(
        "--retry", default="", metavar="VERDICTS", help="ask again what ended so: failed,truncated"
    )
    takes_launcher(run)
    run.add_argument("--part", metavar="K/N", help="one part alone, as an array job does it")
    run.add_argument(
        "--at-once",
        type=int,
        default=0,
        metavar="W",
        help="of --part: parts that run at once, among which limits a minute are divided; 0: all",
    )
    run.set_defaults(run=_run)


def _add_plan(commands: "Commands") -> None:
    from generator.parts.command_line import takes_configuration

    plan = commands.add_parser(
        "plan", help="what will be done: problems, calls, tokens, cost, time"
    )
    takes_configuration(plan)
    plan.add_argument(
        "--probe", action="store_true", help="make one real call a lane; exit 4 if none answers"
    )
    plan.add_argument(
        "--by", default="", metavar="DATE", help="say which mix of lanes meets it: 2026-12-05"
    )
    plan.add_argument(
        "--usd", type=float, default=0.0, help="say which mix is the fastest for so many dollars"
    )
    add_json(plan)
    plan.set_defaults(run=_plan)


def _add_part(commands: "Commands", name: str, is_called: bool) -> None:
    """A command that a part brings itself. Loaded only where it is called: each comes with
    libraries of its own.
    """
    module_name, text = PART_COMMANDS[name]
    command = commands.add_parser(name, help=text)
    if is_called:
        part = importlib.import_module(module_name)
        command.description = sys.modules[part.__package__ or part.__name__].__doc__
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        part.add_arguments(command)
        command.set_defaults(run=part.run)


if __name__ == "__main__":
    run_and_exit(main)
