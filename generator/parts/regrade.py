"""`python -m generator regrade CORPUS DEST`: today's grader on the answers of a corpus, into a new one.

Golds, texts, costs and ids stay; what no grader judged (failed, cut, a judge's word) stays as well.
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
    return rewrite(args, "regrade")
