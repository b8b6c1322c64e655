"""What a run needs before its first call: keys, the configuration without secrets, the
rehearsal teacher's process.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from generator.config import REHEARSAL_URL, UNBOUNDED, GeneratorConfig, LaneConfig
from shared import json_child
from shared.chat_api.redaction import Address
from shared.errors import InputError

FILES_OF_OUR_OWN = 128  # shards, ledger, grading processes, the server and who looks at it


class EarlySignals:
    """Signals before the work. SIGTERM and SIGINT end the process: nothing is in flight. A SIGHUP
    is remembered.

    Opening a large problem set takes minutes. Without these handlers Ctrl-C would wait for it, a
    reload would kill, and a container's process 1 would hear nothing. `Run` puts its own in their
    place.
    """

    def __init__(self) -> None:
        self.hangup = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        signal.signal(signal.SIGHUP, self._remember)

    def _leave(self, number: int, _: Any) -> None:
        text = (
            f"stopped: {signal.Signals(number).name} before the first call; the same command goes"
            " on from here\n"
        )
        os.write(2, text.encode())
        os._exit(
            0
        )  # not by an exception: a library that opens data would take it for one of its own

    def _remember(self, *_: Any) -> None:
        self.hangup = True


def key_of(lane: LaneConfig, environ: Mapping[str, str] = os.environ) -> str:
    """A lane's key, "" where it needs none. Errors: `InputError` names the variable that is
    empty.
    """
    if not lane.api_key_env:
        return ""
    key = environ.get(lane.api_key_env, "").strip()
    if not key:
        raise InputError(
            f"lane {lane.name}: the environment variable {lane.api_key_env} is empty: export it"
            " with your key"
        )
    if key[0] in "\"'" or key[-1] in "\"'":
        raise InputError(
            f"lane {lane.name}: the key in {lane.api_key_env} has quotes around it: take them off"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            f"lane {lane.name}: {lane.api_key_env} holds no usable key (spaces or non-ASCII in it):"
            " copy it again"
        )
    return key


def secrets(config: GeneratorConfig, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every text that must reach no file and no output: keys, the server's token, passwords in
    URLs.
    """
    found = [key_of(lane, environ) for lane in config.lane]
    found.append(environ.get(config.daemon.token_env, ""))
    for lane in config.lane:
        found += Address.of(lane.base_url).secrets
    return [secret for secret in found if secret]


def resolved(config: GeneratorConfig) -> dict[str, Any]:
    """The configuration as JSON-ready data without secrets: what CORPUS/config.json holds."""
    tree = config.model_dump(mode="json")
    for lane in tree["lane"]:
        lane["base_url"] = Address.of(lane["base_url"]).url
    return tree


def accounts(corpus: Path) -> Callable[[str], str]:
    """The account of each lane of a corpus' last run, by its config.json; a lane that is not in
    it is its own.
    """
    try:
        lanes = orjson.loads((corpus / "config.json").read_bytes())["lane"]
        known = {lane["name"]: lane["account"] or lane["name"] for lane in lanes}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        known = {}
    return lambda lane: known.get(lane, lane)


def within_open_files(config: GeneratorConfig) -> GeneratorConfig:
    """Let this process open as many files as it may, and keep the lanes within that.

    Thousands of calls in flight are as many sockets. The usual soft limit of 1,024 can be raised;
    where the hard one is too small, the lanes share what there is and a line says so.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(
        ValueError, OSError
    ):  # a sandbox may forbid it; then the old limit holds
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = max(1, (allowed - FILES_OF_OUR_OWN) // len(config.lane))
    asked = [lane.concurrency or UNBOUNDED for lane in config.lane]
    if allowed == resource.RLIM_INFINITY or max(asked) <= share:
        return config
    print(
        f"{allowed:,} open files are allowed: at most {share:,} calls in flight on a lane, where up"
        f" to {max(asked):,} are configured; raise `ulimit -Hn`",
        flush=True,
    )
    lanes = (
        lane.model_copy(update={"concurrency": min(most, share)})
        for lane, most in zip(config.lane, asked, strict=True)
    )
    return config.model_copy(update={"lane": tuple(lanes)})


@asynccontextmanager
async def rehearsal_teacher(config: GeneratorConfig) -> AsyncIterator[GeneratorConfig]:
    """Start the rehearsal teacher in its own process; yields the configuration with its address in
    the lanes.

    It has a session of its own, so that Ctrl-C reaches the run alone, and ends when this process
    ends, however it ends.
    """
    rehearsal = config.rehearsal
    command = [
        sys.executable,
        "-m",
        "generator.rehearsal",
        "--port",
        "0",
        "--with-parent",
        "--seed",
        str(rehearsal.seed),
    ]
    command += [
        "--tokens-per-second",
        str(rehearsal.tokens_per_second),
        "--faults",
        rehearsal.faults,
    ]
    if rehearsal.replay:
        command += ["--replay", rehearsal.replay]
    child = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env=json_child.environment(),
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        first_line = (await child.stdout.readline()).decode().strip()
        if not first_line:
            await child.wait()
            raise InputError(
                "the rehearsal teacher did not start (its own message is above): correct"
                " [rehearsal]"
            )
        yield _at(config, first_line.rpartition(" ")[2])
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


def _at(config: GeneratorConfig, url: str) -> GeneratorConfig:
    lanes = tuple(
        lane.model_copy(update={"base_url": url}) if lane.base_url == REHEARSAL_URL else lane
        for lane in config.lane
    )
    return config.model_copy(update={"lane": lanes})
