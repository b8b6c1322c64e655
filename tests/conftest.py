"""The marks of the tests, set here alone: a test's own code says whether it starts a process or a
browser.

unit      all that no other mark is for; `make test-fast` runs these. The grader's own worker is allowed
process   starts a process: itself, by a fixture or by one of the tests' helpers; written at the
          test where the product starts it
browser   drives Chromium
model     makes, trains or decodes a tiny model
slow      takes more than half a second: hours of simulated time, a server that stalls, thousands of
          generated inputs. Written at the test
timing    measures seconds, so it runs alone, after the others: written at the test
gpu       needs an NVIDIA GPU: written at the test
"""

import inspect
import os
import types
from collections.abc import Iterator
from typing import Any

import pytest

# Before torch is loaded. Threads of tiny models that wait for one another on busy cores are fifty
# times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MODULES_THAT_START_PROCESSES = {"subprocess", "multiprocessing", "concurrent.futures.process"}
CALLS_THAT_START_PROCESSES = {
    "create_subprocess_exec",
    "create_subprocess_shell",
    "fork",
    "posix_spawn",
}
BROWSER_NAMES = {"chromium", "playwright"}
MODEL_NAMES = {"torch", "save_model", "write_model"}  # the last two: tests/*/tiny_models.py
WRITTEN_MARKS = ("gpu", "timing", "process", "browser", "model", "slow", "unit")


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = _mark_of(item)
        if mark is not None:
            item.add_marker(mark)


def _mark_of(item: pytest.Item) -> str | None:
    """The mark that the test's code asks for; None where one that excludes the others is
    written at the test.
    """
    if any(item.get_closest_marker(name) for name in WRITTEN_MARKS):
        return None
    names: set[str] = set()
    modules: set[str] = set()
    for function in _functions_behind(item):
        names |= set(_names_in(function.__code__))
        modules |= {value.__name__ for value in _values_of(function) if inspect.ismodule(value)}
    if names & BROWSER_NAMES:
        return "browser"
    if modules & MODULES_THAT_START_PROCESSES or names & CALLS_THAT_START_PROCESSES:
        return "process"
    if names & MODEL_NAMES:
        return "model"
    return "unit"


def _functions_behind(item: pytest.Item) -> list[types.FunctionType]:
    """The test, its fixtures, and every function of the tests that these name, and so on."""
    assert isinstance(item, pytest.Function)
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    waiting: list[Any] = [
        item.obj,
        *(definition.func for definitions in fixtures for definition in definitions),
    ]
    functions: dict[types.FunctionType, None] = {}
    while waiting:
        for function in _own_functions(waiting.pop()):
            if function not in functions:
                functions[function] = None
                waiting.extend(_values_of(function))
    return list(functions)


def _own_functions(value: Any) -> Iterator[types.FunctionType]:
    """`value` itself, or the methods of a class, where they are the tests' own."""
    if inspect.isclass(value):
        members: list[Any] = list(vars(value).values())
    else:
        members = [value]
    for member in members:
        function = inspect.unwrap(getattr(member, "__func__", member)) if callable(member) else None
        if (
            isinstance(function, types.FunctionType)
            and function.__module__.partition(".")[0] == "tests"
        ):
            yield function


def _values_of(function: types.FunctionType) -> Iterator[Any]:
    """What a function's names stand for: its module's globals, and what it takes from other
    modules of the tests.
    """
    names = list(_names_in(function.__code__))
    scopes = [function.__globals__]
    for name in names:
        value = function.__globals__.get(name)
        if inspect.ismodule(value) and value.__name__.partition(".")[0] == "tests":
            scopes.append(vars(value))
    for scope in scopes:
        yield from (scope[name] for name in names if name in scope)


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
