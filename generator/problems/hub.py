"""Data sets of Hugging Face's hub, streamed: `OWNER/NAME[:CONFIG]`.

Nothing is downloaded as a whole. `HF_ENDPOINT` names a mirror; `HF_DATASETS_OFFLINE=1` makes
`datasets` use what its cache holds. ModelScope's data sets come as folders (`shared.hubs`).
"""

import re
from collections.abc import Iterator
from typing import Any

from generator.problems.order import BUFFER_ROWS
from shared.errors import InputError

Row = dict[str, Any]
_NAME = re.compile(r"(?:[\w.\-]+/)?[\w.\-]+(?::[\w.\-]+)?")


def is_hub_name(source: str) -> bool:
    """Whether `source` is written like a hub data set (whether it exists is the hub's to say)."""
    return bool(_NAME.fullmatch(source))


def open_hub(source: str, split: str, seed: int | None) -> Iterator[Row]:
    """The rows of a split, streamed; in the order of `seed` (shards permuted, then a buffer), or as
    stored for None.

    Errors: `InputError` where the data set, its split or the network is missing, also in the middle
    of the stream.
    """
    try:
        rows = _open_datasets(source, split, seed)
    # the errors of the hub's client have no ancestor of their own in common
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(_advice(source, split, error)) from None
    return _guarded(source, split, rows)


def _open_datasets(source: str, split: str, seed: int | None) -> Iterator[Row]:
    import datasets  # seconds to import: only those who stream from a hub pay for it

    name, _, config = source.partition(":")
    stream = datasets.load_dataset(name, config or None, split=split, streaming=True)
    if seed is not None:
        stream = stream.shuffle(seed=seed, buffer_size=BUFFER_ROWS)
    return iter(stream)


def _guarded(source: str, split: str, rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(_advice(source, split, error)) from None


def _advice(source: str, split: str, error: BaseException) -> str:
    message = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"{source} (split {split}): {message}: correct problems.source or problems.split, or check the"
        " network (a local .jsonl or .parquet copy with the same columns works without one)"
    )
