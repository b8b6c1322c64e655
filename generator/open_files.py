"""Open files: thousands of calls in flight are as many sockets."""

import contextlib
import resource

from generator.config import UNBOUNDED, GeneratorConfig

FILES_OF_OUR_OWN = 128  # shards, ledger, grading processes, the server and who looks at it


def within_open_files(config: GeneratorConfig) -> GeneratorConfig:
    """Let this process open as many files as it may, and keep the lanes within that.

    The usual soft limit of 1,024 can be raised; where the hard one is too small, the lanes share
    what there is and a line says so.
    """
    allowed_files = _raise_limit()
    share = max(1, (allowed_files - FILES_OF_OUR_OWN) // len(config.lane))
    ceilings = [lane.concurrency or UNBOUNDED for lane in config.lane]
    if allowed_files == resource.RLIM_INFINITY or max(ceilings) <= share:
        return config
    print(
        f"{allowed_files:,} open files are allowed: at most {share:,} calls in flight on a lane,"
        f" where up to {max(ceilings):,} are configured; raise `ulimit -Hn`",
        flush=True,
    )
    lanes = [
        lane.model_copy(update={"concurrency": min(ceiling, share)})
        for lane, ceiling in zip(config.lane, ceilings, strict=True)
    ]
    return config.model_copy(update={"lane": tuple(lanes)})


def _raise_limit() -> int:
    """The soft limit of open files after raising it to the hard one."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A sandbox may forbid it; then the old limit holds.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft_limit
