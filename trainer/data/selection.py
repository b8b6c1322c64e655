"""Corpora to examples: what is learnt, what is held out, what is left out and why.

    sealed shards -> token shards -> sieve (correct, uncontaminated, distinct, sound, cap of its problem)
        -> held out by problem

Every trace read ends as exactly one of: learnt, held out, or left out with a reason. None is kept in
memory: an example is read from its file when it is asked for.
"""

import atexit
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from shared.contamination import EvaluationIndex
from shared.errors import InputError
from shared.holdout import held_out_places
from shared.records import VERDICTS, read_traces
from shared.rendering import ChatRenderer
from shared.shards import SealedShard, describe, listed_sha256, open_files, sealed_files
from trainer.config import TrainerConfig
from trainer.data.decontamination import read_benchmarks
from trainer.data.examples import UNBOXED
from trainer.data.sieve import LeftOut, Sieve, reasons
from trainer.data.token_table import Column, StoredExamples, TokenTable
from trainer.data.tokenizing import Say, silence, token_shards


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A held-out problem as the generation eval asks it: the prompt's text and what is right."""

    problem_id: str
    prompt: str
    problem: str
    gold: str


@dataclass(slots=True)
class Selection:
    """The data of a run."""

    train: StoredExamples
    held_out: StoredExamples
    questions: Sequence[HeldOut]  # one a held-out problem with a gold answer
    left_out: dict[str, LeftOut]  # by reason
    read: int
    # tokens of each trace that only `max_length` decides about, in order, and its corpus
    lengths_of_all: Column
    shards: list[tuple[str, SealedShard]] = field(default_factory=list)  # (corpus, entry)
    unverified: int = 0  # learnt or held out without a gold answer
    # whose response ended without a box and is learnt with the verified one
    boxed: LeftOut = field(default_factory=lambda: LeftOut(0))
    adds_boxes: bool = False  # to verified responses without one
    open_shards: int = 0
    # (corpus, shard) sealed after the run began
    newer: list[tuple[str, str]] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """How many traces were left out for each reason, the most frequent first."""
        return reasons(self.left_out)

    @property
    def num_left_out(self) -> int:
        """Traces that are not learnt and not held out."""
        return sum(entry.count for entry in self.left_out.values())

    @property
    def boxes_added(self) -> int:
        """Examples whose response ended without a box and is learnt with the verified one."""
        return self.boxed.count

    @property
    def cost_of_boxed(self) -> float:
        """US dollars that the examples with a box added cost to make."""
        return self.boxed.cost_usd

    @property
    def cost_left_out(self) -> float:
        """US dollars that the traces left out cost to make."""
        return sum(entry.cost_usd for entry in self.left_out.values())

    @property
    def num_tokens(self) -> int:
        """Of the examples to learn from."""
        return int(self.train.lengths.sum(dtype=np.int64))

    def held_out_problems(self) -> set[str]:
        """The ids of the problems that are held out."""
        return {self.train.table.texts(int(row))[1] for row in self.held_out.rows}

    def lines(self) -> list[str]:
        """What a user should know about the data, a line each."""
        loss_tokens = self.num_tokens - int(self.train.prompt_lengths.sum(dtype=np.int64))
        lines = [
            f"traces: {self.read:,} read, {len(self.train):,} to learn from ({self.num_tokens:,}"
            f" tokens, {loss_tokens:,} in the loss), {len(self.held_out):,} held out with"
            f" {len(self.held_out_problems()):,} problems"
        ]
        lines += map(self._line_of_reason, self.reasons)
        lines += self._lines_of_exceptions()
        if self.open_shards:
            lines.append(
                f"not read: {self.open_shards} open shards (a generator writes them, or was killed)"
            )
        if self.newer:
            names = ", ".join(f"{corpus}/{name}" for corpus, name in self.newer[:3])
            more = f" and {len(self.newer) - 3} more" if len(self.newer) > 3 else ""
            lines.append(
                f"not read: sealed after this run began: {names}{more}; another `run` folder learns"
                " from them"
            )
        return lines

    def _lines_of_exceptions(self) -> list[str]:
        """What is learnt though it was not checked, or not as it was said."""
        lines = []
        if self.unverified:
            lines.append(
                f"unverifiable: {self.unverified:,} traces that the corpus keeps are learnt"
                ' unchecked; data.unverifiable = "leave-out" leaves them out'
            )
        if self.boxes_added:
            cost = f", ${self.cost_of_boxed:.2f} to make" if self.cost_of_boxed else ""
            lines.append(
                f"box added: {self.boxes_added:,} verified responses ended without one,"
                f' {self.boxed.tokens:,} tokens{cost}; data.unboxed = "leave-out" leaves them out'
            )
        return lines

    def _line_of_reason(self, reason: str) -> str:
        entry = self.left_out[reason]
        line = f"left out: {entry.count:,} {reason}"
        if entry.tokens:
            line += f", {entry.tokens:,} tokens"
        if entry.cost_usd:
            line += f", ${entry.cost_usd:.2f} to make"
        if reason == UNBOXED and not self.adds_boxes:
            line += '; data.unboxed = "add-box" would end them with the verified answer'
        return line


def select(
    config: TrainerConfig,
    tokenizer: Any,
    chat: ChatRenderer,
    begun: Collection[tuple[str, str]] | None = None,
    cache: Path | None = None,
    say: Say = silence,
) -> Selection:
    """Read, choose and encode the corpora of `config`. Errors: `InputError` with the remedy where
    nothing is left.

    `begun`: (corpus, shard) of each that a run began with: it goes on with those, and newer ones
    are passed over. `cache`: a folder that keeps tokens from one call to the next. `say`: told how far
    the tokens are.
    """
    benchmarks = read_benchmarks(config.data.exclude)
    listed_shards = ListedShards()
    for corpus in config.corpora:
        _list_shards(corpus, listed_shards, begun)
    sources = [(Path(corpus) / shard.name, shard.sha256) for corpus, shard in listed_shards.shards]
    add_box = config.data.unboxed == "add-box"
    shards = token_shards(cache or _temporary_folder(), sources, tokenizer, chat, add_box, say)
    number_of = {corpus: number for number, corpus in enumerate(config.corpora)}
    table = TokenTable(shards, [number_of[corpus] for corpus, _ in listed_shards.shards])
    return _chosen(config, table, benchmarks, chat, listed_shards)


def _chosen(
    config: TrainerConfig,
    table: TokenTable,
    benchmarks: EvaluationIndex,
    chat: ChatRenderer,
    listed: "ListedShards",
) -> Selection:
    sieve = Sieve(table, benchmarks)
    unverifiable = {"unverifiable"} if config.data.unverifiable == "learn" else set()
    sieve.pass_verdicts({"correct"} | unverifiable)
    sieve.pass_uncontaminated()
    sieve.pass_distinct()
    lengths_of_all = sieve.lengths_without_faults()
    sieve.pass_sound(config.train.max_length)
    sieve.pass_cap(config.data.max_per_problem)
    kept_rows = sieve.kept
    if not len(kept_rows):
        raise InputError(_nothing_left(config, len(table), reasons(sieve.left_out)))
    problems = table.column("problem")
    firsts = _held_out(table, kept_rows, problems, config.train.holdout, config.train.seed)
    is_held = np.isin(problems[kept_rows], problems[firsts])
    return Selection(
        table.examples(kept_rows[~is_held]),
        table.examples(kept_rows[is_held]),
        Questions(table, firsts, chat),
        sieve.left_out,
        len(table),
        lengths_of_all,
        listed.shards,
        int((table.column("verdict")[kept_rows] == VERDICTS.index("unverifiable")).sum()),
        _boxes(table, kept_rows),
        config.data.unboxed == "add-box",
        listed.open_shards,
        listed.newer,
    )


def _boxes(table: TokenTable, kept: Column) -> LeftOut:
    """The examples whose response is learnt with a box that it ended without."""
    boxed_rows = kept[table.column("box_added")[kept]]
    return LeftOut(
        len(boxed_rows),
        int(table.column("length")[boxed_rows].sum(dtype=np.int64)),
        float(np.nansum(table.column("cost_usd")[boxed_rows])),
    )


def check_corpora(corpora: Sequence[str]) -> None:
    """Refuse at once, before a model is loaded, what `select` would refuse after: no sealed
    shard, a foreign schema.
    """
    for corpus in corpora:
        folder = Path(corpus)
        if folder.is_file():
            raise InputError(
                f"{corpus}: a file, no corpus folder: traces made elsewhere become one by"
                f" `python -m generator import {corpus} data/imported`"
            )
        if not sealed_files(folder, "traces"):
            waiting = len(open_files(folder, "traces"))
            why = (
                f"only {waiting} open shards: let the generator end or stop it with SIGTERM"
                if waiting
                else "no shards"
            )
            raise InputError(
                f"{corpus}/traces: no sealed shard to read ({why}); `python -m generator run` makes"
                " them, or `python -m generator import` of traces made elsewhere"
            )
        try:
            opening = next(read_traces(folder), None)
        except InputError as error:
            raise InputError(
                f"{error}; `python -m generator import {corpus} data/imported` reads other shapes"
            ) from None
        if opening is None:
            raise InputError(f"{corpus}/traces: the sealed shards are empty: generate traces first")


def _held_out(table: TokenTable, kept: Column, problems: Column, share: float, seed: int) -> Column:
    """The first row of each problem that is held out, in the order of the hold-out."""
    _, places = np.unique(problems[kept], return_index=True)
    firsts = kept[np.sort(places)]
    ids = (table.texts(int(row))[1] for row in firsts)
    held_out: Column = firsts[held_out_places(ids, share, seed)]
    return held_out


class Questions(Sequence[HeldOut]):
    """The held-out problems that have a gold answer, read when they are asked for."""

    def __init__(self, table: TokenTable, rows: Column, chat: ChatRenderer) -> None:
        self._table = table
        self._rows = rows[table.column("has_gold")[rows]]
        self._chat = chat

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> HeldOut: ...
    @overload
    def __getitem__(self, place: slice) -> list[HeldOut]: ...

    def __getitem__(self, place: int | slice) -> HeldOut | list[HeldOut]:
        if isinstance(place, slice):
            return [self._question(int(row)) for row in self._rows[place]]
        return self._question(int(self._rows[place]))

    def _question(self, row: int) -> HeldOut:
        _, problem_id, _, problem, gold, turn = self._table.texts(row)
        prompt = self._chat.prompt([{"role": "user", "content": turn}])
        return HeldOut(problem_id, prompt, problem, gold)


def _temporary_folder() -> Path:
    """A folder for this process alone, removed when it ends."""
    folder = tempfile.mkdtemp(prefix="stillhouse-tokens-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@dataclass(slots=True)
class ListedShards:
    """What `_list_shards` found in the corpora."""

    shards: list[tuple[str, SealedShard]] = field(default_factory=list)
    open_shards: int = 0
    newer: list[tuple[str, str]] = field(default_factory=list)


def _list_shards(
    corpus: str, selection: ListedShards, begun: Collection[tuple[str, str]] | None
) -> None:
    """Note the shards that are read. Errors: `InputError` for one that is not what was sealed,
    or is gone.
    """
    folder = Path(corpus)
    manifest_sha256 = listed_sha256(folder)
    for path in sealed_files(folder, "traces"):
        shard = describe(folder, path)
        if begun is not None and (corpus, shard.name) not in begun:
            selection.newer.append((corpus, shard.name))
            continue
        if manifest_sha256.get(shard.name, shard.sha256) != shard.sha256:
            raise InputError(
                f"{path}: its sha256 is not the one in {folder}/manifest.json: changed or damaged"
                " after it was sealed: put the right file back, or remove manifest.json if the"
                " change is yours"
            )
        selection.shards.append((corpus, shard))
    names_at_start = {shard for shard_corpus, shard in begun or () if shard_corpus == corpus}
    names_now = {shard.name for _, shard in selection.shards}
    missing_names = sorted(names_at_start - names_now)
    if missing_names:
        raise InputError(
            f"{folder / missing_names[0]}: this run began with it and it is gone: put it back, or begin"
            " another run"
        )
    selection.open_shards += len(open_files(folder, "traces"))


def _nothing_left(config: TrainerConfig, num_read: int, counts_by_reason: dict[str, int]) -> str:
    if not num_read:
        return f"{', '.join(config.corpora)}: no trace in the sealed shards: generate traces first"
    counts = ", ".join(f"{count} {reason}" for reason, count in counts_by_reason.items())
    return (
        f"{', '.join(config.corpora)}: none of {num_read} traces can be learnt ({counts}): "
        "raise train.max_length, or look at rejected/ for what the teacher did"
    )
