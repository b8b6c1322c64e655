"""One target under atheris: `python -m tests.fuzz.guided TARGET LIBFUZZER-FLAGS… FOLDERS…`."""

import sys

import atheris

with atheris.instrument_imports(include=["shared", "generator", "trainer", "evaluation"]):
    from tests.fuzz.targets import TARGETS

target = TARGETS[sys.argv[1]]
atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
atheris.Fuzz()
