"""Every command of README and docs, read from the pages themselves and run in their order.

    python -m tests.document_commands --list            what would be run, and what is marked
    python -m tests.document_commands [--page README.md]    run them here, in a clean clone

A command is a line of a block between ``` that begins with a program's name. It is left out where its
comment says, for the reader to see, that it needs a key, a hub, a GPU, or a run that goes on, or where
a word in capitals or an ellipsis stands for something of the reader's own. A comment may say the exit
code that is expected (`# exit code 3`) and that the command is left running (`# leave it running`).
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/with-a-key.md",
    "docs/batch.md",
    "docs/with-a-gpu.md",
    "docs/students.md",
    "docs/reliability.md",
    "docs/tutorial.md",
    "README.zh-CN.md",
    "docs/tutorial.zh-CN.md",
    "CONTRIBUTING.md",
    "docs/changing-the-code.md",
)
COMMAND = re.compile(r"(\$ )?(?=(make|python|\.venv/|export|curl|accelerate|vllm|pip) ?)")
MARKS = (
    "needs a key",
    "needs a hub",
    "needs a GPU",
    "while a run goes on",
    "an example",
    "takes long",
)
PLACEHOLDER = re.compile(r"…|(?<![\w=])(CONFIG|RUN(_[AB])?|FOLDER|SOURCE|LOG|CORPUS|DEST)\b(?!=)")
PROGRAM = re.compile(r"(?<!/)\bpython -m (generator|trainer|evaluation|benchmarks|tests)\b")
EXIT_CODE = re.compile(r"exit code (\d)")
RUNNING = "leave it running"
LONGEST_SECONDS = 1800.0


@dataclass(frozen=True)
class Command:
    """A command as a page has it."""

    page: str
    text: str  # without its comment
    comment: str

    @property
    def mark(self) -> str:
        """Why it is not run; "" where it is."""
        for mark in MARKS:
            if mark in self.comment:
                return mark
        return "something of the reader's own" if PLACEHOLDER.search(self.text) else ""

    @property
    def exit_code(self) -> int:
        """What the page says that it ends with."""
        match = EXIT_CODE.search(self.comment)
        return int(match[1]) if match else 0

    @property
    def shell(self) -> str:
        """As the README says: a program's own Python, whatever is active."""

        def own_python(match: re.Match[str]) -> str:
            program = match[1] if match[1] in ("trainer", "evaluation") else "generator"
            return f".venv/{program}/bin/python -m {match[1]}"

        return PROGRAM.sub(own_python, self.text)


def commands(page: str) -> Iterator[Command]:
    """The commands of a page, in their order."""
    for line in block_lines((ROOT / page).read_text(encoding="utf-8")):
        start = COMMAND.match(line)
        if start is not None:
            command, _, comment = line[start.end() :].partition("  #")
            yield Command(page, " ".join(command.split()), comment.strip())


def block_lines(text: str) -> Iterator[str]:
    """The lines of all blocks that name no language; a line that goes on with a \\ is one."""
    language: str | None = None
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            language = None if language is not None else line.removeprefix("```").strip()
        elif language == "":
            yield line


def main(argv: Sequence[str]) -> int:
    """Run or list; 1 where a command did not end as its page says."""
    parser = argparse.ArgumentParser(prog="python -m tests.document_commands")
    parser.add_argument("--page", action="append", default=[], choices=PAGES)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args(argv)
    wrong = 0
    running: list[subprocess.Popen[bytes]] = []
    try:
        for page in arguments.page or PAGES:
            for command in commands(page):
                if command.mark or arguments.list:
                    print(f"{page}: {command.text}  [{command.mark or 'run'}]", flush=True)
                    continue
                if not run(command, running):
                    wrong += 1
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    return 1 if wrong else 0


def run(command: Command, running: list[subprocess.Popen[bytes]]) -> bool:
    """Run one command with bash; whether it ended as its page says."""
    start = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", command.shell],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    if RUNNING in command.comment:
        running.append(process)
        time.sleep(5.0)
        is_right = process.poll() is None
        print(f"{'ok   ' if is_right else 'WRONG'} {command.text}  [running]", flush=True)
        return is_right
    try:
        output = process.communicate(timeout=LONGEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate()[0]
    is_right = process.returncode == command.exit_code
    seconds = time.monotonic() - start
    state = "ok   " if is_right else "WRONG"
    print(f"{state} {command.text}  [{process.returncode}, {seconds:.0f} s]", flush=True)
    if not is_right:
        print(output.decode(errors="replace")[-2000:], flush=True)
    return is_right


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
