"""Problems on their way in: read, screened, ready to be asked. Wires `problems` and `screening`
together.

intake = Intake(config.problems, config.screening, corpus)
stream = intake.open()           # a ProblemStream; the first call screens the whole data set if it is local
intake.screening.summary         # what was left out and why
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from generator.config import ProblemsConfig, ScreeningConfig
from generator.parts.part import Part, PartStream
from generator.problems import (
    ProblemStream,
    ProblemTally,
    fingerprint,
    local_path,
    open_problems,
    whole_data_set,
)
from generator.problems.evaluation_sets import evaluation_texts, shown_name
from generator.problems.pieces import Piece, check_pieces
from generator.screening import Screening
from shared.errors import InputError


class Intake:
    """One corpus' problems. `open` may be called again and again (a followed source): what has
    not changed is kept.
    """

    def __init__(
        self,
        problems: ProblemsConfig,
        screening: ScreeningConfig,
        corpus: Path,
        on_rows: Callable[[int], None] | None = None,
        needs_gold: bool = False,
        part: Part | None = None,
        evaluation: Mapping[str, list[str]] | None = None,
    ) -> None:
        """Loads the evaluation sets. Blocks. `needs_gold`: problems without a gold answer are left
        out. `part`: only its problems come; `corpus` is its own, and local data is screened once
        for all parts. `evaluation`: texts of the sets in `problems.exclude`, if loaded before.

        Errors: `InputError` for a set in `problems.exclude` that cannot be read.
        """
        self._problems = problems
        self._on_rows = on_rows
        self._needs_gold = needs_gold
        self._part = part
        self.tally = ProblemTally()  # of the stream opened last
        self._screened_by = screening.model_dump_json()
        is_screened_once = part is not None and local_path(problems.source) is not None
        if evaluation is None:
            evaluation = evaluation_sets(problems, screening)
        self.screening = Screening(
            (corpus.parent if is_screened_once else corpus) / "screening",
            evaluation,
            screening.near_duplicates,
            screening.overlap,
            screening.exclude_other_numbers,
        )

    @property
    def order(self) -> str:
        """Names local data with the order and the screening in which it is read; "" where a place
        in it means nothing.

        Errors: `InputError` for a source that is not there.
        """
        path = local_path(self._problems.source)
        if path is None:
            return ""
        chosen = f"{self._problems.seed} {sorted(self._problems.exclude)} {self._screened_by}"
        part = f" {self._part}" if self._part else ""
        return f"{fingerprint(self._problems, path, self._needs_gold)} {chosen}{part}"

    def open(self, read: int = 0, taken: int = 0, own: int = 0) -> ProblemStream | PartStream:
        """The problems that pass, from the start, or from where the tally of an earlier stream in
        this `order` stood.

        Blocks while local data is screened for the first time.

        Errors: `InputError` for a source that cannot be read, `CannotWrite` for a corpus that
        cannot be written.
        """
        stream = self._opened(read, taken)
        self.tally = stream.tally
        if self._part is None:
            return stream
        has_place = stream.tally.taken > 0
        return PartStream(stream, self._part, own if has_place else 0)

    def _opened(self, read: int, taken: int) -> ProblemStream:
        path = local_path(self._problems.source)
        if path is None:
            return open_problems(
                self._problems, self.screening.passing(), needs_gold=self._needs_gold
            )
        self.screen(path)
        if self._problems.limit and self.screening.has_repeats:
            # A repeated row must pass once, or fewer than `limit` problems are taken.
            read = 0
            taken = 0
        return open_problems(
            self._problems, self.screening.prepared(), read, taken, self._needs_gold
        )

    def screen(self, path: Path) -> None:
        """Screen the local data at `path`, or load what was decided about it before. Of several
        processes (parts, a `plan` beside a run) one does it, and the others wait for that. Errors:
        as `open`.
        """
        data = self._data(path)
        if self.screening.is_settled(data):
            self._prepare(path, data)
            return
        with self.screening.alone():
            self._prepare(path, data)

    def screen_local(self) -> None:
        """`screen` the source. Errors: as `open`; `InputError` for one that is not local."""
        self.screen(self._local_path())

    def _prepare(self, path: Path, data: str) -> None:
        self.screening.prepare(
            lambda: whole_data_set(self._problems, path, self._needs_gold), data, self._on_rows
        )

    def _data(self, path: Path) -> str:
        return fingerprint(self._problems, path, self._needs_gold)

    # In pieces of the data

    def begin_pieces(self) -> bool:
        """Make room for the pieces; False where nothing is to be done any more. Errors:
        `InputError` for a source that is not local, `CannotWrite`.
        """
        with self.screening.alone():
            data = self._data(self._local_path())
            if self.screening.is_settled(data):
                return False
            self.screening.begin(data)
        return True

    def screen_piece(self, piece: int, pieces: int) -> None:
        """Pass one of one piece of the data. Errors: as `open`."""
        path = self._local_path()
        rows = Piece(self._problems, path, self._needs_gold, piece, pieces)
        self.screening.pass_one(piece, pieces, rows, rows.facts, self._data(path))

    def missing_pieces(self, pieces: int) -> list[int]:
        """The pieces that are still to be done."""
        facts = self.screening.facts(pieces, self._data(self._local_path()))
        return [piece for piece, fact in enumerate(facts) if fact is None]

    def settle_pieces(self, pieces: int) -> None:
        """Decide what is left out, from all pieces. Errors: as `open`."""
        path = self._local_path()
        data = self._data(path)
        with self.screening.alone():
            if self.screening.is_settled(data):
                return
            facts = [fact for fact in self.screening.facts(pieces, data) if fact is not None]
            check_pieces(self._problems, path, self._needs_gold, facts)
            self.screening.settle(pieces, data)

    def _local_path(self) -> Path:
        path = local_path(self._problems.source)
        if path is None:
            raise InputError(
                f"{self._problems.source}: not local data: it is screened as it comes, by each run"
            )
        return path


def evaluation_sets(problems: ProblemsConfig, screening: ScreeningConfig) -> dict[str, list[str]]:
    """The texts that are kept out, by the shown name of their set. Errors: as `Intake`."""
    return {shown_name(name): evaluation_texts(name, screening.data) for name in problems.exclude}
