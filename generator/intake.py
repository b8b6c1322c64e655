"""Problems on their way in: read, screened, ready to be asked. Wires `problems` and `screening`
together.

intake = Intake(config.problems, config.screening, corpus)
stream = intake.open()           # a ProblemStream; the first call screens the whole data set if it is local
intake.screening.summary         # what was left out and why
"""

from collections.abc import Callable
from pathlib import Path

from generator.config import ProblemsConfig, ScreeningConfig
from generator.problems import (
    ProblemStream,
    ProblemTally,
    fingerprint,
    local_path,
    open_problems,
    whole_data_set,
)
from generator.problems.evaluation_sets import evaluation_texts, shown_name
from generator.screening import Screening


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
    ) -> None:
        """Loads the evaluation sets. Blocks. `needs_gold`: problems without a gold answer are left
        out.

        Errors: `InputError` for a set in `problems.exclude` that cannot be read.
        """
        self._problems = problems
        self._on_rows = on_rows
        self._needs_gold = needs_gold
        self.tally = ProblemTally()  # of the stream opened last
        self._screened_by = screening.model_dump_json()
        self.screening = Screening(
            corpus / "screening",
            {shown_name(name): evaluation_texts(name, screening.data) for name in problems.exclude},
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
        return f"{fingerprint(self._problems, path, self._needs_gold)} {chosen}"

    def open(self, read: int = 0, taken: int = 0) -> ProblemStream:
        """The problems that pass, from the start, or from where the tally of an earlier stream in
        this `order` stood.

        Blocks while local data is screened for the first time.

        Errors: `InputError` for a source that cannot be read, `CannotWrite` for a corpus that
        cannot be written.
        """
        stream = self._opened(read, taken)
        self.tally = stream.tally
        return stream

    def _opened(self, read: int, taken: int) -> ProblemStream:
        path = local_path(self._problems.source)
        if path is None:
            return open_problems(
                self._problems, self.screening.passing(), needs_gold=self._needs_gold
            )
        self.screening.prepare(
            lambda: whole_data_set(self._problems, path, self._needs_gold),
            fingerprint(self._problems, path, self._needs_gold),
            self._on_rows,
        )
        if self._problems.limit and self.screening.has_repeats:
            # A repeated row must pass once, or fewer than `limit` problems are taken.
            read = 0
            taken = 0
        return open_problems(
            self._problems, self.screening.prepared(), read, taken, self._needs_gold
        )
