"""The documents name files and modules that exist: a page that leads nowhere is a false promise."""

import re
from pathlib import Path

import pytest

from tests import document_commands

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = "shared|generator|trainer|evaluation|benchmarks|configs|constraints|deploy|docs|tests"
# `trainer/loop/step.py` in running text; a name with a placeholder in it is none.
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
CONFIG = re.compile(r"\bconfigs/[\w.-]+\.toml")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"python (?:-m pytest [^`\n]*|-m ([a-z_.]+)|(benchmarks/[\w./]+))")
PROGRAMS = ("shared", "generator", "trainer", "evaluation", "benchmarks", "tests")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = [ROOT / name for name in (*PATH.findall(text), *CONFIG.findall(text))]
    paths = [path for path in paths if path != ROOT / "configs/x.toml"]  # a placeholder
    targets = [
        page.parent / target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)
    ]
    missing = [str(path) for path in [*paths, *targets] if not path.exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_runs_is_there(page: Path) -> None:
    missing = []
    for module, script in MODULE.findall(page.read_text(encoding="utf-8")):
        if script and not (ROOT / script).exists():
            missing.append(script)
        if module.split(".")[0] in PROGRAMS:
            path = ROOT / module.replace(".", "/")
            if not (path.is_dir() or path.with_suffix(".py").exists()):
                missing.append(module)
    assert missing == []


def test_no_line_of_a_page_is_too_long_to_read() -> None:
    long_lines = [
        f"{page.relative_to(ROOT)}:{number}"
        for page in PAGES
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 200
    ]
    assert long_lines == []


# What only these configurations have: models and problems of a hub, a key, a card.
ELSEWHERE = re.compile(
    r"numina-|two-lanes|qwen2\.5|evaluate-(gsm8k|math|aime)|modelscope:|open-r1/"
)


@pytest.mark.parametrize("page", document_commands.PAGES)
def test_every_command_that_needs_a_key_a_hub_or_a_card_says_so(page: str) -> None:
    unmarked_commands = [
        command.text
        for command in document_commands.commands(page)
        if not command.mark
        and ELSEWHERE.search(command.text)
        and "rehearsal-r1" not in command.text
    ]
    assert unmarked_commands == []


def test_the_pages_have_commands_that_are_run() -> None:
    runnable = [
        command.shell
        for page in document_commands.PAGES
        for command in document_commands.commands(page)
        if not command.mark
    ]
    assert "make generate" in runnable
    assert ".venv/generator/bin/python -m generator check data/rehearsed" in runnable
    assert any("exit" not in command and "rehearse --port" in command for command in runnable)


@pytest.mark.parametrize("name", ["README", "docs/tutorial"])
def test_the_chinese_page_has_the_commands_of_the_english_one(name: str) -> None:
    english, chinese = (
        [command.text for command in document_commands.commands(page)]
        for page in (f"{name}.md", f"{name}.zh-CN.md")
    )
    assert chinese == english
