"""A pytest plugin for tests/suite.py: the failures of one run as lines of JSON, `{"test": node
id, "text": …}`. And what was measured by then may be torn: that fails no tests.
"""

import json
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage.exceptions import CoverageException


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--failures", type=Path, help="append each failure to this file, as a line of JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("failures")
    if path is not None and not hasattr(
        config, "workerinput"
    ):  # a worker of pytest-xdist reports to the one that asks
        config.pluginmanager.register(_Failures(path))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-cov, which combines at the loop's end
def pytest_runtestloop() -> Generator[None, object, object]:
    """A process that was killed while it wrote what it had measured leaves a torn file, at which
    pytest-cov would end the whole run; `suite.print_coverage` leaves it out.
    """
    try:
        return (yield)
    except CoverageException as error:
        print(f"coverage: {error}")
        return True


class _Failures:
    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"test": report.nodeid, "text": report.longreprtext}) + "\n")
