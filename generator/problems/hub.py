"""Data sets of a hub, streamed: `OWNER/NAME[:CONFIG]` from Hugging Face, `modelscope:OWNER/NAME`
from ModelScope.

Nothing is downloaded as a whole. `HF_DATASETS_OFFLINE=1` makes `datasets` use what its cache holds.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from generator.problems.order import BUFFER_ROWS, shuffled
from shared.errors import InputError

Row = dict[str, Any]
MODELSCOPE = "modelscope:"
_NAME = re.compile(r"(?:[\w.\-]+/)?[\w.\-]+(?::[\w.\-]+)?")


def is_hub_name(source: str) -> bool:
    """Whether `source` is written like a hub data set (whether it exists is the hub's to say)."""
    return bool(_NAME.fullmatch(source.removeprefix(MODELSCOPE)))


def open_hub(source: str, split: str, seed: int | None) -> Iterator[Row]:
    """The rows of a split, streamed; in the order of `seed` (shards permuted, then a buffer), or as
    stored for None.

    Errors: `InputError` where the data set, its split or the network is missing, also in the middle
    of the stream.
    """
    if source.startswith(MODELSCOPE):
        name = source.removeprefix(MODELSCOPE)
        rows = _named(source, split, lambda: _open_modelscope(name, split))
        if seed is not None:
            rows = shuffled(rows, seed)
    else:
        rows = _named(source, split, lambda: _open_datasets(source, split, seed))
    return _guarded(source, split, rows)


def _open_datasets(source: str, split: str, seed: int | None) -> Iterator[Row]:
    import datasets  # seconds to import: only those who stream from a hub pay for it

    name, _, config = source.partition(":")
    stream = datasets.load_dataset(name, config or None, split=split, streaming=True)
    if seed is not None:
        stream = stream.shuffle(seed=seed, buffer_size=BUFFER_ROWS)
    return iter(stream)


def _open_modelscope(name: str, split: str) -> Iterator[Row]:
    try:
        from modelscope.msdatasets import MsDataset
    except ImportError as error:
        raise InputError(
            f"{MODELSCOPE}{name}: not without the modelscope package ({error}): run "
            "`.venv/generator/bin/pip install 'modelscope[datasets]'`"
        ) from None
    name, _, config = name.partition(":")
    stream = MsDataset.load(name, subset_name=config or None, split=split, use_streaming=True)
    return iter(stream)


def _named(source: str, split: str, opening: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    try:
        return opening()
    except InputError:
        raise
    # the errors of the hubs' clients have no ancestor of their own in common
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(_advice(source, split, error)) from None


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
