"""Corpora to examples: what is learnt, what is held out, what is left out and why.

    read_traces -> correct? -> contaminated? -> seen before? -> cap of its problem -> encode -> held
        out by problem

Every trace read ends as exactly one of: learnt, held out, or left out with a reason.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.contamination import EvaluationIndex
from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.records import Trace, read_traces
from shared.rendering import ChatRenderer
from shared.shards import SealedShard, describe, listed_sha256, open_files, sealed_files
from trainer.config import Data, TrainerConfig
from trainer.data.decontamination import read_benchmarks
from trainer.data.examples import UNBOXED, Encoder, Example, LeftOut


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

    train: list[Example]
    held_out: list[Example]
    questions: list[HeldOut]  # one a held-out problem with a gold answer
    left_out: list[LeftOut]
    read: int
    shards: list[tuple[str, SealedShard]] = field(default_factory=list)  # (corpus, entry)
    unverified: int = 0  # learnt or held out without a gold answer
    open_shards: int = 0
    adds_boxes: bool = False  # to verified responses without one
    cost_of_boxed: float = 0.0  # US dollars that the examples with a box added cost to make
    # (corpus, shard) sealed after the run began
    newer: list[tuple[str, str]] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """How many traces were left out for each reason, the most frequent first."""
        return dict(Counter(item.reason for item in self.left_out).most_common())

    @property
    def _all(self) -> list[Example]:
        return self.train + self.held_out

    @property
    def boxes_added(self) -> int:
        """Examples whose response ended without a box and is learnt with the verified one."""
        return sum(example.box_added for example in self._all)

    @property
    def cost_left_out(self) -> float:
        """US dollars that the traces left out cost to make."""
        return sum(item.cost_usd or 0.0 for item in self.left_out)

    def lines(self) -> list[str]:
        """What a user should know about the data, a line each."""
        tokens = sum(map(len, self.train))
        loss_tokens = sum(len(example) - example.prompt_length for example in self.train)
        problems = {example.problem_id for example in self.held_out}
        lines = [
            f"traces: {self.read:,} read, {len(self.train):,} to learn from ({tokens:,} tokens,"
            f" {loss_tokens:,} in the loss), {len(self.held_out):,} held out with"
            f" {len(problems):,} problems"
        ]
        lines += map(self._line_of_reason, self.reasons)
        if self.unverified:
            lines.append(
                f"unverifiable: {self.unverified:,} traces that the corpus keeps are learnt"
                ' unchecked; data.unverifiable = "leave-out" leaves them out'
            )
        if self.boxes_added:
            tokens = sum(len(each) for each in self._all if each.box_added)
            cost = f", ${self.cost_of_boxed:.2f} to make" if self.cost_of_boxed else ""
            lines.append(
                f"box added: {self.boxes_added:,} verified responses ended without one,"
                f' {tokens:,} tokens{cost}; data.unboxed = "leave-out" leaves them out'
            )
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

    def _line_of_reason(self, reason: str) -> str:
        items = [item for item in self.left_out if item.reason == reason]
        line = f"left out: {len(items):,} {reason}"
        tokens = sum(item.tokens for item in items)
        if tokens:
            line += f", {tokens:,} tokens"
        cost = sum(item.cost_usd or 0.0 for item in items)
        if cost:
            line += f", ${cost:.2f} to make"
        if reason == UNBOXED and not self.adds_boxes:
            line += '; data.unboxed = "add-box" would end them with the verified answer'
        return line


def select(
    config: TrainerConfig,
    tokenizer: Any,
    chat: ChatRenderer,
    begun: Collection[tuple[str, str]] | None = None,
) -> Selection:
    """Read, choose and encode the corpora of `config`. Errors: `InputError` with the remedy where
    nothing is left.

    `begun`: (corpus, shard) of each that a run began with: it goes on with those, and newer ones
    are passed over.
    """
    benchmarks = read_benchmarks(config.data.exclude)
    selection = Selection([], [], [], [], 0)
    selection.adds_boxes = config.data.unboxed == "add-box"
    encoder = Encoder(tokenizer, chat, config.train.max_length, selection.adds_boxes)
    choice = _Choice(benchmarks, config.data, selection)
    examples: list[Example] = []
    trace_of: dict[str, Trace] = {}  # by problem: its first one
    for number, corpus in enumerate(config.corpora):
        _list_shards(corpus, selection, begun)
        # An example is encoded before its problem's cap is counted, so that a trace too long does
        # not use the cap up.
        for example, trace in _encoded(encoder, choice.candidates(corpus), number, selection):
            if choice.under_cap(example):
                if trace.verdict == "unverifiable":
                    selection.unverified += 1
                if example.box_added:
                    selection.cost_of_boxed += trace.cost_usd or 0.0
                examples.append(example)
                trace_of.setdefault(trace.problem_id, trace)
    if not examples:
        raise InputError(_nothing_left(config, selection))
    problems = held_out_problems(
        {example.problem_id for example in examples}, config.train.holdout, config.train.seed
    )
    held_out_ids = set(problems)
    selection.held_out = [each for each in examples if each.problem_id in held_out_ids]
    selection.train = [each for each in examples if each.problem_id not in held_out_ids]
    traces = [trace_of[problem] for problem in problems]
    selection.questions = [_question(trace, chat) for trace in traces if trace.gold is not None]
    return selection


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


class _Choice:
    """Which traces may be learnt, before any is tokenized."""

    def __init__(self, benchmarks: EvaluationIndex, data: Data, selection: Selection) -> None:
        self._benchmarks = benchmarks
        self._cap = data.max_per_problem
        self._verdicts = {"correct"}
        if data.unverifiable == "learn":
            self._verdicts.add("unverifiable")
        self._selection = selection
        self._seen: set[bytes] = set()
        self._of_problem: Counter[str] = Counter()
        self._contaminated: dict[str, bool] = {}

    def candidates(self, corpus: str) -> Iterator[Trace]:
        newer = {shard for shard_corpus, shard in self._selection.newer if shard_corpus == corpus}
        for trace in read_traces(corpus, newer):
            self._selection.read += 1
            reason = self._fault(trace)
            if reason:
                self._selection.left_out.append(LeftOut(trace.id, reason, 0, trace.cost_usd))
            else:
                yield trace

    def under_cap(self, example: Example) -> bool:
        self._of_problem[example.problem_id] += 1
        if self._cap and self._of_problem[example.problem_id] > self._cap:
            self._selection.left_out.append(
                LeftOut(example.id, "over max_per_problem", len(example))
            )
            return False
        return True

    def _fault(self, trace: Trace) -> str:
        if trace.verdict not in self._verdicts:
            return f"verdict {trace.verdict}"
        if self._judges(trace):
            return "a problem that judges the model (data.exclude)"
        words = " ".join(f"{trace.reasoning} {trace.response}".split())
        key = hashlib.sha256(f"{trace.problem_id} {words}".encode()).digest()
        if key in self._seen:
            return "a duplicate"
        self._seen.add(key)
        return ""

    def _judges(self, trace: Trace) -> bool:
        if trace.problem_id not in self._contaminated:
            self._contaminated[trace.problem_id] = self._benchmarks.has_copy_of(trace.problem)
        return self._contaminated[trace.problem_id]


def _encoded(
    encoder: Encoder, traces: Iterator[Trace], corpus: int, selection: Selection
) -> Iterator[tuple[Example, Trace]]:
    """Each example with its trace; what becomes none is entered in `selection`.

    The encoder reads ahead by a group, so traces wait by id until their result comes, in order.
    """
    waiting: dict[str, list[Trace]] = defaultdict(list)

    def noted() -> Iterator[Trace]:
        for trace in traces:
            waiting[trace.id].append(trace)
            yield trace

    for result in encoder.encode(noted(), corpus):
        trace = waiting[result.id].pop(0)
        if not waiting[result.id]:
            del waiting[result.id]
        if isinstance(result, LeftOut):
            selection.left_out.append(result)
        else:
            yield result, trace


def _question(trace: Trace, chat: ChatRenderer) -> HeldOut:
    turn = next(
        (m["content"] for m in reversed(trace.messages) if m["role"] == "user"), trace.problem
    )
    assert trace.gold is not None
    return HeldOut(
        trace.problem_id,
        chat.prompt([{"role": "user", "content": turn}]),
        trace.problem,
        trace.gold,
    )


def _list_shards(
    corpus: str, selection: Selection, begun: Collection[tuple[str, str]] | None
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


def _nothing_left(config: TrainerConfig, selection: Selection) -> str:
    if not selection.read:
        return f"{', '.join(config.corpora)}: no trace in the sealed shards: generate traces first"
    reasons = ", ".join(f"{count} {reason}" for reason, count in selection.reasons.items())
    return (
        f"{', '.join(config.corpora)}: none of {selection.read} traces can be learnt ({reasons}): "
        "raise train.max_length, or look at rejected/ for what the teacher did"
    )
