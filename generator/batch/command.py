"""The batches of a corpus that are under way, and what a person may do about one.

A batch is held where it may have been sent and its provider lists nothing. The provider's console
says whether it is there: then `--adopt NAME=ID` gives it its id and the next run goes on with it;
else `--release NAME` has its samples asked again (what was reserved for them stays spent).
"""

import argparse
import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import orjson

from generator.batch.requests_file import BatchFiles
from generator.corpus.batch_table import BatchRow, batch_status
from generator.corpus.ledger import Ledger
from shared.chat_api.batch_client import BatchClient
from shared.chat_api.errors import CallError
from shared.errors import InputError
from shared.folder_lock import FolderLock
from shared.records import Usage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--adopt", default="", metavar="NAME=ID", help="this is its batch")
    choice.add_argument("--release", default="", metavar="NAME", help="ask its samples again")
    choice.add_argument(
        "--cancel", default="", metavar="NAME", help="have its provider do no more of it"
    )


def run(args: argparse.Namespace) -> int:
    """List, adopt, release or cancel. Errors: `InputError`, `CannotWrite`."""
    if not (args.adopt or args.release or args.cancel):
        return _list(args.corpus)
    if args.cancel:
        return _cancel(args.corpus, args.cancel)
    lock = FolderLock(args.corpus, key="corpus")  # a run would not see the change
    try:
        ledger = Ledger(args.corpus / "ledger.sqlite")
        try:
            if args.adopt:
                name, _, batch_id = args.adopt.partition("=")
                _adopt(ledger, _row(ledger, name), batch_id)
            else:
                _release(args.corpus, ledger, _row(ledger, args.release))
        finally:
            ledger.close()
    finally:
        lock.release()
    return 0


def _list(corpus: Path) -> int:
    ledger = Ledger(corpus / "ledger.sqlite", read_only=True)
    try:
        rows = ledger.batches()
    finally:
        ledger.close()
    for row in rows:
        print(f"{row.name}  {batch_status(row).in_words(time.time())}")
    if not rows:
        print(f"{corpus}: no batch is under way")
    return 0


def _row(ledger: Ledger, name: str) -> BatchRow:
    for row in ledger.batches():
        if row.name == name:
            return row
    raise InputError(f"{name}: no such batch is under way: `generator batches CORPUS` lists them")


def _adopt(ledger: Ledger, row: BatchRow, batch_id: str) -> None:
    if not batch_id:
        raise InputError(f"--adopt {row.name}: write NAME=ID with the provider's id of the batch")
    ledger.change_batch(replace(row, state="created", batch_id=batch_id, note=""))
    print(f"{row.name}: the next run goes on with {batch_id}")


def _release(corpus: Path, ledger: Ledger, row: BatchRow) -> None:
    settled_lines = ledger.settled_lines(row)
    open_lines = [line for line in range(row.lines) if line not in settled_lines]
    for line in open_lines:
        usage = Usage(completion_tokens=row.tokens)
        ledger.settle_call(row.first_call + line, "released", usage, row.usd)
    ledger.change_batch(replace(row, state="done"))
    BatchFiles(corpus / "batches", row.name).remove()
    print(f"{row.name}: {len(open_lines):,} samples are asked again by the next run")


def _cancel(corpus: Path, name: str) -> int:
    ledger = Ledger(corpus / "ledger.sqlite", read_only=True)
    try:
        row = _row(ledger, name)
    finally:
        ledger.close()
    if not row.batch_id:
        raise InputError(f"{name}: it is no batch yet: nothing is to be cancelled")
    lanes = orjson.loads((corpus / "config.json").read_bytes())["lane"]
    lane = next((lane for lane in lanes if lane["name"] == row.lane), None)
    if lane is None:
        raise InputError(f"{name}: the last run's configuration has no lane {row.lane}")
    key = os.environ.get(lane["api_key_env"], "").strip() if lane["api_key_env"] else ""
    asyncio.run(_cancel_at(lane["base_url"], key, row))
    print(f"{name}: cancelled; what is done of it is taken over by the next run, or this one")
    return 0


async def _cancel_at(base_url: str, key: str, row: BatchRow) -> None:
    async with BatchClient(base_url, key) as client:
        try:
            await client.cancel(row.batch_id)
        except CallError as error:
            raise InputError(f"{row.name}: {error.message}") from None
