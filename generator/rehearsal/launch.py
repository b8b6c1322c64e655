"""The rehearsal teacher in a process of its own, for a run whose lanes ask for it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generator.config import REHEARSAL_URL, GeneratorConfig, RehearsalConfig
from shared.child_environment import child_environment
from shared.errors import InputError


def rehearses(config: GeneratorConfig) -> bool:
    """Whether a lane is to be served by a rehearsal teacher that the run starts itself."""
    return any(lane.base_url == REHEARSAL_URL for lane in config.lane)


@asynccontextmanager
async def with_rehearsal_teacher(config: GeneratorConfig) -> AsyncIterator[GeneratorConfig]:
    """Start the teacher where a lane asks for it; yields the configuration with its address in
    those lanes.

    It has a session of its own, so that Ctrl-C reaches the run alone, and ends when this process
    ends, however it ends. Errors: `InputError` where it does not start.
    """
    if not rehearses(config):
        yield config
        return
    teacher = await asyncio.create_subprocess_exec(
        *_command(config.rehearsal),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,
    )
    try:
        assert teacher.stdout is not None
        first_line = (await teacher.stdout.readline()).decode().strip()
        if not first_line:
            await teacher.wait()
            raise InputError(
                "the rehearsal teacher did not start (its own message is above): correct"
                " [rehearsal]"
            )
        yield _with_address(config, first_line.rpartition(" ")[2])
    finally:
        if teacher.returncode is None:
            teacher.terminate()
        await teacher.wait()


def _command(rehearsal: RehearsalConfig) -> list[str]:
    command = [sys.executable, "-m", "generator.rehearsal", "--port", "0", "--with-parent"]
    command += ["--seed", str(rehearsal.seed)]
    command += ["--tokens-per-second", str(rehearsal.tokens_per_second)]
    command += ["--faults", rehearsal.faults]
    command += ["--batch-seconds", str(rehearsal.batch_seconds)]
    command += ["--clock-speed", str(rehearsal.clock_speed)]
    command += ["--batch-faults", rehearsal.batch_faults]
    if rehearsal.replay:
        command += ["--replay", rehearsal.replay]
    return command


def _with_address(config: GeneratorConfig, url: str) -> GeneratorConfig:
    lanes = [
        lane.model_copy(update={"base_url": url}) if lane.base_url == REHEARSAL_URL else lane
        for lane in config.lane
    ]
    return config.model_copy(update={"lane": tuple(lanes)})
