"""`make audit`: are the pinned packages known to be vulnerable?

pip-audit asks PyPI's advisories, which needs a network. Where it cannot, the pins are compared with
the few advisories in constraints/advisories.toml, and the end says that the audit did not run.

Exit codes: 0 pip-audit looked at every pin and found nothing; 1 a pin is vulnerable; 2 only the kept
list was compared.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

CONSTRAINTS = Path(__file__).parents[1] / "constraints"
CLEAN = 0
VULNERABLE = 1
DID_NOT_RUN = 2
SECONDS_MAX = 300  # for one environment
CANARY = "jinja2==3.1.5"  # known to be vulnerable: an audit that does not say so has looked nowhere
_PIN = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;#]+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of one environment."""

    file: str
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Advisory:
    """`fixed`: the first version without it."""

    package: str
    id: str
    fixed: str
    about: str


def pins(folder: Path = CONSTRAINTS) -> Iterator[Pin]:
    """Every pin of every environment."""
    for file in sorted(folder.glob("*.txt")):
        for line in file.read_text().splitlines():
            match = _PIN.match(line.strip())
            if match:
                yield Pin(file.name, canonicalize_name(match[1]), match[2])


def kept_advisories(folder: Path = CONSTRAINTS) -> list[Advisory]:
    """Those of constraints/advisories.toml."""
    tables = tomllib.loads((folder / "advisories.toml").read_text())["advisory"]
    return [Advisory(**table) for table in tables]


def known_faults(folder: Path = CONSTRAINTS) -> list[str]:
    """A line for each pin that the kept list names."""
    return [
        f"{pin.file}: {pin.package} {pin.version}: {advisory.id}, fixed in {advisory.fixed}:"
        f" {advisory.about}"
        for pin in pins(folder)
        for advisory in kept_advisories(folder)
        if pin.package == advisory.package and Version(pin.version) < Version(advisory.fixed)
    ]


def ask_pip_audit(folder: Path = CONSTRAINTS) -> tuple[int, str]:
    """(an exit code of ours, what was found or why nothing could be)."""
    if importlib.util.find_spec("pip_audit") is None:
        return DID_NOT_RUN, "pip-audit is not installed: .venv/generator/bin/pip install pip-audit"
    with tempfile.TemporaryDirectory() as temporary:
        canary = Path(temporary) / "canary.txt"
        canary.write_text(f"{CANARY}\n")
        code, text = _audited(canary)
    if code != VULNERABLE:  # a mirror may answer every question with "nothing known"
        return DID_NOT_RUN, text or f"the index at hand finds nothing wrong with {CANARY}"
    reports = []
    for file in sorted(folder.glob("*.txt")):
        code, text = _audited(file)
        if code == DID_NOT_RUN:
            return code, text
        if code == VULNERABLE:
            reports.append(f"{file.name}:\n{text}")
    return (VULNERABLE, "\n".join(reports)) if reports else (CLEAN, "")


def _audited(file: Path) -> tuple[int, str]:
    flags = ["--no-deps", "--disable-pip", "--strict", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", "-r", str(file), *flags]
    try:
        audit = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return DID_NOT_RUN, f"pip-audit gave no answer within {SECONDS_MAX} s"
    if audit.returncode == 0:
        return CLEAN, ""
    # It exits with 1 for a finding and for a network that is not there: a finding is a table.
    if "Fix Versions" in audit.stdout:
        return VULNERABLE, audit.stdout
    return DID_NOT_RUN, (audit.stderr.strip().splitlines() or ["no reason given"])[-1]


def main() -> int:
    faults = known_faults()
    for fault in faults:
        print(fault)
    advisories = len(kept_advisories())
    print(
        f"kept list: {advisories} advisories against {len(list(pins()))} pins, {len(faults)} hits"
    )
    code, text = ask_pip_audit()
    if code == DID_NOT_RUN:
        print(f"the audit did NOT run ({text[:300]}): the kept list is short and no substitute")
    elif code == VULNERABLE:
        print(text)
    else:
        print("pip-audit: no known vulnerability in any pin")
    return VULNERABLE if faults else code


if __name__ == "__main__":
    sys.exit(main())
