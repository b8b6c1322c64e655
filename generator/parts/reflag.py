"""`python -m generator flags CORPUS DEST`: today's flags on every trace of a corpus, into a new one.

CORPUS is only read, and the last lines say what has changed. Stopped, the same command goes on.
"""

import argparse

from generator.parts.rewrite_command import add_rewrite_arguments, rewrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """CORPUS, DEST and --on."""
    parser.description = __doc__
    add_rewrite_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """The exit code. Errors: `InputError`, `CannotWrite`."""
    return rewrite(args, "flags")
