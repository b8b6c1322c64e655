"""Arguments that the commands in parts have in common."""

import argparse
from pathlib import Path

from generator.config import EMBEDDED, GeneratorConfig
from shared.config import load

ON_HELP = "where the parts run: local:W, ray, ray:ADDRESS or slurm (prints a script)"


def takes_configuration(parser: argparse.ArgumentParser) -> None:
    """CONFIG.toml and --set."""
    parser.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="CONFIG.toml",
        help="none: a rehearsal without a key",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. sampling.samples=4, lane.0.concurrency=50",
    )


def takes_launcher(parser: argparse.ArgumentParser) -> None:
    """--parts and --on."""
    parser.add_argument(
        "--parts", type=int, default=0, metavar="N", help="divide the work into N parts"
    )
    parser.add_argument("--on", default="local", metavar="WHERE", help=ON_HELP)


def configuration(args: argparse.Namespace) -> GeneratorConfig:
    """The configuration that the arguments name. Errors: `InputError`."""
    return load(GeneratorConfig, args.config, args.set, default=EMBEDDED)
