"""The command line of the rehearsal teacher, and its life: listen, say where, serve until a
signal.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from generator.rehearsal.batch_faults import BATCH_KINDS, BatchFaults
from generator.rehearsal.batch_files import BatchManner
from generator.rehearsal.faults import KINDS, AccountLimits, Faults
from generator.rehearsal.replay import Replay
from generator.rehearsal.server import Manner, RehearsalTeacher
from shared.errors import InputError
from shared.standard_streams import nobody_reads_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `rehearse`, for whoever owns the parser."""
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add(
        "--port",
        type=int,
        default=8801,
        help="0 takes a free one; the address is the first line printed",
    )
    add(
        "--tokens-per-second",
        type=float,
        default=30.0,
        help="of one stream; 0: as fast as it can be sent",
    )
    add("--latency", type=float, default=0.0, help="seconds before the first token")
    add(
        "--seed",
        type=int,
        default=0,
        help="the same seed gives the same faults and words for the same calls",
    )
    add(
        "--faults", default="", metavar="SPEC", help=f"KIND=RATE,… with any status code and {kinds}"
    )
    add("--key", default="", help="refuse every other API key with 401")
    add("--model", default="", help="refuse every other model name with 404")
    add(
        "--replay",
        type=Path,
        metavar="FILE",
        help="JSON Lines of problem (or question), reasoning and response",
    )
    add(
        "--outage",
        default="",
        metavar="START-END",
        help="drop connections between these seconds after the start",
    )
    add(
        "--with-parent", action="store_true", help="end when the process that started this one ends"
    )
    _add_batches(parser)
    _add_limits(parser)


def _add_batches(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in BATCH_KINDS.items())
    add = parser.add_argument_group("batches").add_argument
    add("--batch-seconds", type=float, default=3600.0, help="that a batch takes")
    add(
        "--clock-speed",
        type=float,
        default=1.0,
        help="seconds that the clock of batches goes in one: 3600 makes a night of ten seconds",
    )
    add("--batch-faults", default="", metavar="SPEC", help=f"KIND=RATE,… with {kinds}")
    add("--no-listing", action="store_true", help="neither files nor batches are listed")
    add("--no-batches", action="store_true", help="there are no files and no batches")
    add("--output-addresses", action="store_true", help="output files are named by address")
    add("--batch-lines", type=int, default=0, help="most lines of a file; 0: no limit")
    add("--batch-bytes", type=int, default=0, help="most bytes of a file; 0: no limit")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    number = parser.add_argument_group("limits that are enforced (0: none)").add_argument
    number("--requests-per-minute", type=int, default=0)
    number("--max-in-flight", type=int, default=0)
    number(
        "--calls-per-day",
        type=int,
        default=0,
        help="the remaining count is sent in ModelScope's headers",
    )
    number(
        "--day-seconds", type=float, default=86_400.0, help="length of a day, to rehearse its turn"
    )
    number("--balance", type=int, default=0, help="calls until 402")
    number("--no-retry-after", action="store_true", help="limits do not say how long to wait")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m generator.rehearsal`."""
    parser = argparse.ArgumentParser(
        "python -m generator rehearse", description="The rehearsal teacher."
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Returns 0. Errors: `InputError` for flags that cannot be
    used.
    """
    manner = Manner(
        args.tokens_per_second,
        args.latency,
        args.seed,
        Faults.parse(args.faults),
        args.key,
        args.model,
        _outage(args.outage),
    )
    limits = AccountLimits(
        requests_per_minute=args.requests_per_minute,
        max_in_flight=args.max_in_flight,
        calls_per_day=args.calls_per_day,
        balance=args.balance,
        day_seconds=args.day_seconds,
        say_retry_after=not args.no_retry_after,
    )
    batches = BatchManner(
        args.batch_seconds,
        args.clock_speed,
        BatchFaults.parse(args.batch_faults),
        not args.no_listing,
        not args.no_batches,
        args.batch_lines,
        args.batch_bytes,
        args.output_addresses,
        args.key,
    )
    replay = Replay(args.replay) if args.replay else None
    teacher = RehearsalTeacher(manner, limits, replay, batches)
    _allow_many_sockets()
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port {args.port}: a port is 1 to 65535; 0 takes a free one")
    uvloop.run(_serve(teacher, args.host, args.port, args.with_parent))
    return 0


async def _serve(teacher: RehearsalTeacher, host: str, port: int, with_parent: bool) -> None:
    parent = os.getppid()  # before a word is said: who reads it may be gone in the next moment
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        teacher.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=4096).start()
        except OSError as error:
            raise InputError(
                f"--port {port}: {error.strerror or error}: take another, or 0 for a free one"
            ) from None
        print(f"rehearsal teacher at http://{host}:{runner.addresses[0][1]}/v1", flush=True)
        if with_parent and nobody_reads_output():
            return  # a run that was interrupted while its teacher started
        await (_parent_gone(parent, stop) if with_parent else stop.wait())
    finally:
        await runner.cleanup()


async def _parent_gone(parent: int, stop: asyncio.Event) -> None:
    """Returns at a signal, or within a second of the parent's end: a killed parent cannot send
    one.
    """
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
            return


def _outage(text: str) -> tuple[float, float]:
    if not text:
        return 0.0, 0.0
    try:
        start, end = (float(part) for part in text.split("-"))
    except ValueError:
        raise InputError(
            f"--outage {text}: write START-END in seconds, as in --outage 10-20"
        ) from None
    return start, end


def _allow_many_sockets() -> None:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    # a sandbox may forbid it; then the old limit holds
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
