"""`check`, `status` and `reindex` of a corpus, in parts or not."""

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from generator.corpus import check, corpus_status, reindex
from generator.corpus.check import CheckReport
from generator.corpus.status import CorpusStatus
from generator.monitor.merged import PartStatus, merged
from generator.monitor.status import Phase, RunStatus
from generator.parts.overview import part_status
from generator.recorded_config import accounts
from shared.errors import InputError
from shared.folder_lock import holder
from shared.parts import FILE, part_folder, part_folders, part_of, recorded_parts


def check_whole(corpus: Path) -> CheckReport:
    """Check every part. Errors: as `check`."""
    folders = part_folders(corpus)
    parts = recorded_parts(corpus)
    if not folders and not parts:
        return check(corpus)
    report = CheckReport()
    if not parts:
        report.faults.append(f"{corpus / FILE}: not there, although the corpus is in parts")
    for folder in folders:
        number = int(folder.name[-4:])
        if parts and number >= parts:
            report.faults.append(f"{folder}: the corpus is divided into {parts} parts only")
        if not (folder / "ledger.sqlite").exists():
            continue  # not begun: a process made the folder and was killed
        # no id stands in two parts where each stands in its own
        part_report = check(folder, partial(_is_foreign, parts, number))
        report.shards += part_report.shards
        report.faults += part_report.faults
        for pile, rows in part_report.rows.items():
            report.rows[pile] += rows
    return report


def _is_foreign(parts: int, number: int, problem: str) -> bool:
    return parts > 0 and part_of(problem, parts) != number


def status_of_whole(corpus: Path) -> CorpusStatus:
    """How all parts stand. Errors: as `corpus_status`."""
    count = recorded_parts(corpus) or len(part_folders(corpus))
    if not count:
        return corpus_status(corpus)
    parts = [part_status(corpus, number) for number in range(count)]
    folders = [part_folder(corpus, part.number) for part in parts]
    statuses = [corpus_status(each) for each in folders if (each / "ledger.sqlite").exists()]
    rejected_by_verdict: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for each in statuses:
        rejected_by_verdict.update(each.rejected_by_verdict)
        outcomes.update(each.calls_by_outcome)
    pids = [each.running_pid for each in statuses if each.running_pid is not None]
    pid = holder(corpus)
    return CorpusStatus(
        corpus=str(corpus),
        running_pid=pid if pid is not None else next(iter(pids), None),
        kept=sum(each.kept for each in statuses),
        rejected=sum(each.rejected for each in statuses),
        rejected_by_verdict=dict(rejected_by_verdict.most_common()),
        tokens=sum(each.tokens for each in statuses),
        calls=sum(each.calls for each in statuses),
        calls_by_outcome=dict(outcomes.most_common()),
        usd=sum(each.usd for each in statuses),
        batches=[batch for each in statuses for batch in each.batches],
        run=_run_of(corpus, parts).as_dict() if statuses else {},
        parts=[_row(part) for part in parts],
    )


def reindex_whole(corpus: Path) -> int:
    """Make the ledger of every part anew; the samples noted. Errors: as `reindex`."""
    folders = part_folders(corpus)
    if not folders:
        return reindex(corpus, accounts(corpus))
    for folder in folders:
        if holder(folder) is not None:
            raise InputError(f"{folder}: a run holds it: wait for it, then reindex")
    return sum(reindex(folder, accounts(folder)) for folder in folders)


def _run_of(corpus: Path, parts: list[PartStatus]) -> RunStatus:
    """The latest run of each part, as one."""
    states = {part.state for part in parts}
    phase: Phase = "done" if states == {"done"} else "stopped"
    if "running" in states:
        phase = "running"
    now = datetime.now(UTC)
    begins = [part.status.started_at for part in parts if part.status is not None]
    ends = [part.status.at for part in parts if part.status is not None]
    started_at = min(begins, default=now.isoformat(timespec="seconds"))
    at = max(ends, default=started_at)
    seconds = (datetime.fromisoformat(at) - datetime.fromisoformat(started_at)).total_seconds()
    return merged(str(corpus), parts, phase, started_at, at, seconds)


def _row(part: PartStatus) -> dict[str, object]:
    return {
        "part": part.number,
        "state": part.state,
        "kept": part.kept,
        "rejected": part.rejected,
    }
