"""lighteval's tasks by name: which of its modules defines a task, read from their source.

    lighteval:gsm8k       lighteval:gsm8k|5       lighteval:mmlu (all its subsets)       lighteval:ifeval

Importing them all to find one takes ten seconds, and one of them downloads a file at import. Names
stand in the source as `name="gsm8k"`, or begin as `name=f"mmlu_redux_2:{subset}"`; so a task's
module is found without importing any.
"""

import ast
import difflib
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shared.benchmarks.names import LIGHTEVAL
from shared.errors import InputError

# Folders of modules, below lighteval/tasks.
_FOLDERS = ("tasks/*.py", "tasks/*/main.py", "multilingual/tasks/*.py")


class TaskSpec(NamedTuple):
    """A task's name as lighteval writes it ("gsm8k", "mmlu:anatomy", with a metric's parameters
    behind @), and how many examples stand before each question.
    """

    task: str
    few_shots: int

    @property
    def name(self) -> str:
        """The task's name alone."""
        return self.task.partition("@")[0]

    def __str__(self) -> str:
        return f"{self.task}|{self.few_shots}"


def parse_spec(benchmark: str) -> TaskSpec:
    """`lighteval:TASK`, `lighteval:TASK|EXAMPLES` or the older `lighteval:SUITE|TASK|EXAMPLES`,
    also with a fourth part, by which lighteval was told to leave out examples that do not fit.

    Errors: `InputError`.
    """
    parts = benchmark.removeprefix(LIGHTEVAL).split("|")
    if len(parts) == 1:
        parts.append("0")
    if len(parts) == 4 and parts[3] in ("0", "1"):
        parts.pop()
    *suite, task, examples = parts
    if len(suite) > 1 or not task or "," in task or not examples.isdigit():
        raise InputError(
            f"benchmarks: {benchmark!r}: write {LIGHTEVAL}TASK or {LIGHTEVAL}TASK|EXAMPLES, one"
            " task an entry"
        )
    return TaskSpec(task, int(examples))


def modules_of(spec: TaskSpec) -> list[str]:
    """The modules that may define a task, the likeliest first; mostly one. lighteval itself is not
    imported.

    Errors: `InputError` with the nearest names where there is none.
    """
    ranks = {module: names.rank(spec.name) for module, names in _names_by_module().items()}
    likely = [module for module, rank in ranks.items() if rank > 0]
    if not likely:
        raise unknown_task(spec)
    return sorted(likely, key=lambda module: -ranks[module])


def unknown_task(spec: TaskSpec) -> InputError:
    """The refusal of a name that is no task's, with the nearest that are."""
    known_names = {name for names in _names_by_module().values() for name in names.shown()}
    near = difflib.get_close_matches(spec.name, known_names - {spec.name}, 3, 0.5)
    nearest = f": nearest: {', '.join(near)}" if near else ""
    return InputError(f"benchmarks: lighteval has no task {spec.name!r}{nearest}")


@dataclass(frozen=True, slots=True)
class _TaskNames:
    """The names of tasks in one module: whole ones, how others begin, and every text where some
    are put together.
    """

    whole: frozenset[str]
    beginnings: frozenset[str]
    texts: frozenset[str]

    def rank(self, task: str) -> int:
        """How likely the module defines `task`; 0: it does not."""
        if task in self.whole or any(name.startswith(f"{task}:") for name in self.whole):
            return 1000
        lengths = [len(each) for each in self.beginnings if _begins(task, each)]
        if lengths:
            return max(lengths) + 1
        group = task.partition(":")[0]
        return int(any(text.startswith(group) or _begins(task, text) for text in self.texts))

    def shown(self) -> set[str]:
        """What stands in the place of the names in a list of what there is."""
        return {*self.whole, *(each.rstrip(":_") for each in self.beginnings)}


def _begins(task: str, beginning: str) -> bool:
    return len(beginning) > 2 and (
        task.startswith(beginning) or task == beginning.removesuffix(":")
    )


@functools.cache
def _names_by_module() -> dict[str, _TaskNames]:
    spec = importlib.util.find_spec("lighteval")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "tasks"
    paths = [path for pattern in _FOLDERS for path in sorted(folder.glob(pattern))]
    return {
        _module_name(path, folder): _names_in(path) for path in paths if path.stem != "__init__"
    }


def _module_name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(["lighteval", "tasks", *parts])


def _names_in(path: Path) -> _TaskNames:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    whole = set()
    beginnings = set()
    is_complete = True
    for value in _name_arguments(tree):
        beginning = _beginning(value)
        if isinstance(value, ast.Constant):
            whole.add(str(value.value))
        elif beginning:
            beginnings.add(beginning)
        else:
            is_complete = False
    texts = set() if is_complete else set(_texts(tree))
    return _TaskNames(frozenset(whole), frozenset(beginnings), frozenset(texts))


def _name_arguments(tree: ast.Module) -> Iterator[ast.expr]:
    """Whatever a call in the module is given as `name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "name")


def _beginning(value: ast.expr) -> str:
    """The text that an expression begins with; "" where it does not show."""
    first_node = value
    if isinstance(value, ast.JoinedStr) and value.values:
        first_node = value.values[0]
    elif isinstance(value, ast.BinOp):
        first_node = value.left
    return str(first_node.value) if isinstance(first_node, ast.Constant) else ""


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
