"""Ask five questions and write a commented configuration that `plan` accepts."""

import argparse
import json
import os.path
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from generator.config import REHEARSAL_URL, GeneratorConfig
from generator.presets import PRESETS
from generator.problems import local_path
from shared.config import load
from shared.errors import InputError, typed
from shared.hubs.modelscope import modelscope_name

SYNTHETIC = "synthetic:arithmetic"
REHEARSAL = "rehearsal"
DEFAULT_FILE = Path("stillhouse.toml")
SCHEMA = Path(__file__).parents[1] / "configs" / "schemas" / "generator.json"  # for editors
ABOUT_WIDTH = 54  # a line on a teacher fits a terminal of 80 columns

Value = TypeVar("Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `new`."""
    parser.add_argument(
        "file", type=Path, nargs="?", default=DEFAULT_FILE, metavar="CONFIG.toml", help="to write"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, write, and say what to type next."""
    if args.file.exists():
        raise InputError(f"{args.file}: exists already: name another file")
    if not args.file.parent.is_dir():
        raise InputError(f"{args.file}: there is no folder {args.file.parent}: make it first")
    answers = ask(read_line)
    schema = os.path.relpath(SCHEMA, args.file.absolute().parent)
    text = f"#:schema {schema}\n" + configuration(answers)
    args.file.write_text(text, encoding="utf-8")
    load(GeneratorConfig, args.file)  # a bug here is told before the user meets it
    print(f"\n\n{args.file} is written. Next:")
    key = PRESETS[answers.teacher].lane.get("api_key_env") if answers.teacher in PRESETS else ""
    if key:
        print(f"  export {key}=…")
    print(f"  {typed('generator')} plan {args.file}    # problems, tokens, cost, time")
    print(f"  {typed('generator')} run {args.file}")
    return 0


@dataclass(frozen=True, slots=True)
class Answers:
    """What the user wants."""

    source: str
    teacher: str  # a preset, or "rehearsal"
    problems: int  # 0: all
    samples: int
    corpus: str


def ask(next_line: Callable[[str], str]) -> Answers:
    """Five questions; each is asked again until its answer can be used. `next_line(prompt)` gives
    the user's line. Errors: `InputError` where the input ends.
    """
    source = _answer(
        next_line,
        "1/5  Where are the problems: a hub data set, a file, a folder, or made-up sums?\n"
        f"     (AI-MO/NuminaMath-CoT, path/to/problems.jsonl, {SYNTHETIC})",
        SYNTHETIC,
        _source,
    )
    print("     Teachers:")
    for name, about in teachers().items():
        print(f"       {name:<22} {about}")
    teacher = _answer(next_line, "2/5  Which teacher answers?", REHEARSAL, _teacher)
    problems = _answer(next_line, "3/5  How many problems? (0: all)", 300, _whole_number)
    samples = _answer(next_line, "4/5  How many answers to each problem?", 1, _positive_number)
    corpus = _answer(next_line, "5/5  Which folder takes the traces?", "data/my-corpus", _text)
    return Answers(source, teacher, problems, samples, corpus)


def configuration(answers: Answers) -> str:
    """The configuration as commented TOML."""
    exclude = 'exclude = ["gsm8k:test", "MATH-500"]'
    if answers.source != SYNTHETIC and _is_of_a_hub(answers.source):
        exclude += "   # what the student will be judged on stays out"
    else:  # the sets come from the hub: a plan of local problems must not need it
        exclude = f"# {exclude}   # without the first #: what will judge the student stays out"
    lines = [
        "# Every key: python -m generator run --help",
        f"corpus = {_toml(answers.corpus)}",
        "",
        "[problems]",
        f"source = {_toml(answers.source)}",
        f"limit = {answers.problems}   # 0: all",
        exclude,
        "",
        "[sampling]",
        f"samples = {answers.samples}   # answers to each problem",
        "# until_correct = 1   # or: ask until one is right, max_samples at most",
        "",
        "[[lane]]",
        f"name = {_toml(answers.teacher)}",
        *_lane_lines(answers.teacher),
        "",
        "# [budget]   # over all lanes; 0: no limit",
        "# calls_per_day = 1000",
        "# usd_total = 20.0",
    ]
    return "\n".join(lines) + "\n"


def teachers() -> dict[str, str]:
    """What may answer the second question, with the first sentence about each. Not the batch
    lanes: they need a price of the user's.
    """
    about = {REHEARSAL: "a rule-based teacher on this machine: no key, no cost"}
    for name, preset in PRESETS.items():
        if preset.lane.get("mode") == "batch":
            continue
        first_sentence = preset.about.partition(". ")[0].rstrip(".")
        about[name] = textwrap.shorten(first_sentence, ABOUT_WIDTH, placeholder=" …")
    return about


def _lane_lines(teacher: str) -> list[str]:
    if teacher == REHEARSAL:
        return [
            f"base_url = {_toml(REHEARSAL_URL)}   # a teacher that the run starts itself",
            'model = "rehearsal-r1"',
        ]
    preset = PRESETS[teacher]
    lines = [f"preset = {_toml(teacher)}   # values checked on {preset.checked}:"]
    for key, value in preset.lane.items():
        if key in ("base_url", "model", "api_key_env") or isinstance(value, int | float):
            lines.append(f"# {key} = {_toml(value)}")
    return lines


def read_line(prompt: str) -> str:
    """One line of the user's. Errors: `InputError` where the input ends."""
    print(prompt, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        raise InputError("the input ended before the last question: nothing was written")
    return line.strip()


def _answer(
    next_line: Callable[[str], str], question: str, default: Value, read: Callable[[str], Value]
) -> Value:
    while True:
        line = next_line(f"{question}\n     [{default}] ")
        if not line:
            return default
        try:
            return read(line)
        except ValueError as error:
            print(f"     {error}")


def _text(line: str) -> str:
    if not line.isprintable():
        raise ValueError("control characters cannot stand in a name: type it again")
    return line


def _source(line: str) -> str:
    if modelscope_name(_text(line)):
        return line  # fetched when it is needed
    path = local_path(line)
    if path is not None and not path.exists():
        raise ValueError(f"{path}: there is no such file or folder")
    if path is None and line.startswith("synthetic:") and line != SYNTHETIC:
        raise ValueError(f"{line!r}: there is {SYNTHETIC} alone")
    return line


def _is_of_a_hub(source: str) -> bool:
    return bool(modelscope_name(source)) or local_path(source) is None


def _teacher(line: str) -> str:
    if line not in teachers():
        raise ValueError(f"no teacher {line!r}: type one of the names above")
    return line


def _whole_number(line: str) -> int:
    if not line.isdecimal() or int(line) > 10**12:
        raise ValueError(f"{line!r} is no whole number: type digits, such as 300")
    return int(line)


def _positive_number(line: str) -> int:
    number = _whole_number(line)
    if number < 1:
        raise ValueError("at least 1")
    return number


def _toml(value: str | int | float) -> str:
    return json.dumps(value, ensure_ascii=False)
