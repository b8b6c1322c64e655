"""Where parts run: `--on local:W`, `--on ray[:ADDRESS]`, `--on slurm[:W]`."""

import os
from dataclasses import dataclass

from generator.parts.local import LocalWorkers
from generator.parts.ray_cluster import RayTasks
from shared.errors import InputError

HINT = "write local:W (W processes on this machine), ray, ray:ADDRESS or slurm"


@dataclass(frozen=True, slots=True)
class Local:
    """So many processes on this machine."""

    workers: int


@dataclass(frozen=True, slots=True)
class Ray:
    """Tasks of a Ray cluster: of `address`, or of the one that Ray finds, or a new one here."""

    address: str


@dataclass(frozen=True, slots=True)
class Slurm:
    """An array job's script is printed; `at_once`: tasks at the same time, 0: any number."""

    at_once: int


Launcher = Local | Ray | Slurm


TaskRunner = LocalWorkers | RayTasks


def parse_launcher(text: str) -> Launcher:
    """ "local:16" -> Local(16). Errors: `InputError`."""
    kind, _, details = text.partition(":")
    if kind == "local":
        return Local(_count(text, details) if details else os.cpu_count() or 1)
    if kind == "ray":
        return Ray(details)
    if kind == "slurm":
        return Slurm(_count(text, details) if details else 0)
    raise InputError(f"--on {text}: {HINT}")


def task_runner(launcher: Launcher) -> TaskRunner:
    """What does tasks there. Errors: `InputError` where tasks cannot be handed over."""
    if isinstance(launcher, Local):
        return LocalWorkers(launcher.workers)
    if isinstance(launcher, Ray):
        return RayTasks(launcher.address)
    raise InputError("--on slurm prints a script for `run` and `screen` only: take local:W or ray")


def _count(text: str, number: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise InputError(f"--on {text}: {HINT}")
    return int(number)
