"""A batch's way to the provider and to its end: upload, create, watch, through lost replies and
restarts. No line is paid twice: what may have been sent is looked for before it is sent again.
"""

import contextlib

from generator.batch.pauses import BACK_OFF_SECONDS, Draining, Pauses
from generator.batch.progress import BatchBook
from generator.batch.requests_file import BatchFiles
from generator.batch.surroundings import Lines, Surroundings
from generator.corpus.batch_table import BatchRow
from shared.chat_api.batch_client import BatchClient
from shared.chat_api.batch_replies import Batch
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.sdk_connection import NotSent

PASSING = (Unreachable, ServerFault, RateLimited)  # to be tried again
LOOKS = 3  # at a list that does not show what may be on its way there, or at a batch that is gone


class Delivery:
    """Takes batches of one lane from `prepared` to `ended`."""

    def __init__(
        self, lines: Lines, client: BatchClient, around: Surroundings, book: BatchBook
    ) -> None:
        self._lines = lines
        self._client = client
        self._around = around
        self._book = book
        self._pauses = Pauses(around.draining, book)

    async def deliver(self, row: BatchRow, resumed: bool) -> BatchRow | None:
        """The batch when it has ended. None: the run drains, or it is held, or given up.

        `resumed`: a process that is gone may have done the next step.
        """
        try:
            if row.state == "prepared":
                row = await self._upload(row, resumed)
            if row.state in ("uploaded", "held"):
                row = await self._create(row, resumed or row.state == "held")
            if row.state == "created":
                row = await self._watch(row)
        except Draining:
            return None
        return row if row.state == "ended" else None

    # Upload

    async def _upload(self, row: BatchRow, resumed: bool) -> BatchRow:
        """An upload is not paid: one whose reply was lost is looked for, and done again."""
        pause = BACK_OFF_SECONDS
        look = resumed
        while True:
            try:
                file_id = ""
                if look:
                    with contextlib.suppress(CallError):  # nothing is listed: sent once more
                        file_id = await self._client.find_file(row.name)
                path = BatchFiles(self._around.folder, row.name).requests
                file_id = file_id or await self._client.upload(path)
                return self._book.change(row, state="uploaded", file_id=file_id)
            except PASSING as error:
                look = not isinstance(error, NotSent)
                pause = await self._pauses.wait(row, error, pause)
            except BalanceGone as error:
                if not self._around.waits:
                    return self._refused(row, error, "POST /files")
                await self._pauses.wait_for_the_balance(row, error)
            except CallError as error:
                return self._refused(row, error, "POST /files")

    # Create

    async def _create(self, row: BatchRow, may_be_there: bool) -> BatchRow:
        pause = BACK_OFF_SECONDS
        is_sent_anew = False
        while True:
            if may_be_there:
                batch, is_listed = await self._look_for(row)
                if not is_listed:
                    return self._hold(row)
                if batch is not None:
                    self._book.say("batch found again", row, id=batch.id)
                    return self._created(row, batch)
            try:
                lane = self._lines.config.batch
                batch = await self._client.create(row.file_id, lane.window_hours, lane.url)
                return self._created(row, batch)
            except PASSING as error:
                # Refused in so many words, or never sent: then nothing is there.
                may_be_there = not isinstance(error, NotSent | RateLimited)
                pause = await self._pauses.wait(row, error, pause)
            except BalanceGone as error:
                may_be_there = False
                if not self._around.waits:
                    return self._refused(row, error, "POST /batches")
                await self._pauses.wait_for_the_balance(row, error)
            except CallError as error:
                may_be_there = False
                is_file_gone = isinstance(error, BadRequest | UnknownModel) and not is_sent_anew
                if not is_file_gone:
                    return self._refused(row, error, "POST /batches")
                # The provider may have let go of the file; to send it again costs nothing.
                is_sent_anew = True
                row = await self._upload(self._book.change(row, file_id=""), resumed=False)
                if row.state != "uploaded":
                    return row

    async def _look_for(self, row: BatchRow) -> tuple[Batch | None, bool]:
        """(the batch of this file if there is one, whether the provider lists its batches). One
        that was just made may not be listed yet.
        """
        pause = BACK_OFF_SECONDS
        looks = 0
        while True:
            try:
                batch = await self._client.find_batch(row.file_id)
            except PASSING as error:
                pause = await self._pauses.wait(row, error, pause)
                continue
            except CallError:
                return None, False
            looks += 1
            if batch is not None or looks == LOOKS:
                return batch, True
            await self._pauses.sleep(min(BACK_OFF_SECONDS, self._lines.config.batch.poll_seconds))

    def _created(self, row: BatchRow, batch: Batch) -> BatchRow:
        row = self._book.change(row, state="created", batch_id=batch.id, note="")
        self._book.say("batch sent", row, id=batch.id, lines=row.lines)
        return self._seen(row, batch)

    def _hold(self, row: BatchRow) -> BatchRow:
        """It may be under way, and nobody can say: its samples and its dollars stay where they
        are.
        """
        note = (
            f"file {row.file_id} may have been made a batch, and the provider lists none: look in"
            f" its console, then `generator batches` to adopt or release it"
        )
        row = self._book.change(row, state="held", note=note)
        self._book.say("batch held", row, why=note)
        for batch_line in BatchFiles(self._around.folder, row.name).lines():
            if self._around.owners.get(batch_line.sample_id) == row.name:
                self._around.samples.withhold(batch_line.ask.problem)
        return row

    # Watch

    async def _watch(self, row: BatchRow) -> BatchRow:
        pause = BACK_OFF_SECONDS
        misses = 0
        incomplete_looks = 0
        while True:
            try:
                batch = await self._client.retrieve(row.batch_id)
                misses = 0
                pause = BACK_OFF_SECONDS
            except (UnknownModel, BadRequest):  # 404: no such batch
                misses += 1
                if misses == LOOKS:
                    return await self._vanished(row)
                await self._pauses.sleep(self._lines.config.batch.poll_seconds)
                continue
            except CallError as error:
                pause = await self._pauses.wait(row, error, pause)
                continue
            row = self._seen(row, batch)
            has_files = bool(batch.output_file_id or batch.error_file_id)
            is_whole = has_files or batch.status != "completed"  # they may come a little later
            if batch.has_ended and (is_whole or incomplete_looks == LOOKS):
                self._book.say(
                    "batch ended",
                    row,
                    status=batch.status,
                    done=batch.completed,
                    failed=batch.failed,
                    **({"why": batch.errors} if batch.errors else {}),
                )
                return self._book.change(row, state="ended", note=batch.errors)
            if batch.has_ended:
                incomplete_looks += 1
            await self._pauses.sleep(self._lines.config.batch.poll_seconds)

    def _seen(self, row: BatchRow, batch: Batch) -> BatchRow:
        return self._book.change(
            row,
            status=batch.status,
            completed=batch.completed,
            failed=batch.failed,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            expires_at=batch.expires_at,
        )

    async def _vanished(self, row: BatchRow) -> BatchRow:
        """The provider does not know the batch any more; perhaps it has another name for it."""
        batch, _ = await self._look_for(row)
        if batch is not None and batch.id != row.batch_id:
            return await self._watch(self._created(row, batch))
        self._book.say("batch vanished", row, id=row.batch_id)
        return self._book.change(
            row, state="ended", status="vanished", output_file_id="", error_file_id=""
        )

    # Refusals

    def _refused(self, row: BatchRow, error: CallError, what: str) -> BatchRow:
        """Nothing was sent, and nothing will be: the lane stops."""
        self._lines.stop(f"{what}: {error.message} ({_remedy(error)})")
        self._book.say("batch refused", row, why=error.message)
        return self._book.change(row, state="ended", status="refused", note=error.message)


def _remedy(error: CallError) -> str:
    if isinstance(error, KeyRefused):
        return "correct the key, or what it may do"
    if isinstance(error, UnknownModel):
        return 'no batch endpoints here? set lane.mode = "stream"'
    if error.status == 413:
        return "set lane.batch.megabytes or lane.batch.lines lower"
    return "look at lane.model and lane.batch"
