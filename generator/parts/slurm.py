"""The script of an array job: printed, not submitted. `sbatch job.sbatch` is the user's.

Each task of the array does one part with the very command that a user would type for it.
"""

import argparse
import shlex
import sys
from pathlib import Path

from generator.config import GeneratorConfig
from generator.parts.launchers import Slurm
from shared.child_environment import package_root

SIGNAL_SECONDS = 60.0  # beyond `daemon.drain_seconds`, before Slurm kills

SCRIPT = """\
#!/bin/bash
# {command} in {parts} parts. Submit it with: sbatch THIS_FILE
# Each task does one part; a task that is lost may be submitted again by its number:
#   sbatch --array=7 THIS_FILE
#SBATCH --job-name=stillhouse-{command}
#SBATCH --array=0-{last}{at_once}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --output=stillhouse-{command}-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@{seconds:.0f}
set -euo pipefail
cd {folder}
export PYTHONPATH={root}"${{PYTHONPATH:+:$PYTHONPATH}}"
exec {python} -m generator {command} {arguments} --part "${{SLURM_ARRAY_TASK_ID}}/{parts}"{more}
"""


def job_script(
    command: str, args: argparse.Namespace, config: GeneratorConfig, launcher: Slurm
) -> str:
    """The script for `run` or `screen` of `args.config` in `args.parts`."""
    words = [str(Path(args.config).resolve())] if args.config else []
    for item in args.set:
        words += ["--set", item]
    at_once = min(launcher.at_once or args.parts, args.parts)
    more = f" --at-once {at_once}" if command == "run" else ""
    return SCRIPT.format(
        command=command,
        parts=args.parts,
        last=args.parts - 1,
        at_once=f"%{at_once}" if at_once < args.parts else "",
        seconds=config.daemon.drain_seconds + SIGNAL_SECONDS,
        folder=shlex.quote(str(Path.cwd())),
        root=shlex.quote(str(package_root())),
        python=shlex.quote(sys.executable),
        arguments=shlex.join(words),
        more=more,
    )
