"""Traces to token ids and a loss mask. Pure: no GPU, no files; the same trace gives the same
example everywhere.

    a trace   user: "2 + 2?…"         reasoning "two and two"       response "It is \\boxed{4}."
    tokens    <|im_start|>user … <|im_start|>assistant\\n | <think> … </think>\\n\\nIt is \\boxed{4}.<|im_end|>
    loss      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 | 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1

Prompt and completion are tokenized apart and joined, since that is what a model is given when it
answers: a merge across the border would be a prompt that no one ever sends.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shared.inference.stop_tokens import end_of_turn_id
from shared.prompts import training_messages
from shared.records import Trace
from shared.rendering import ChatRenderer, Rendered
from shared.thinking import THINK_CLOSE, THINK_OPEN

BOX = "\\boxed{"
UNBOXED = "no boxed answer after the thinking"
TOO_LONG = "longer than max_length"
FAULTS = (
    "",
    "end token missing or inside the answer",
    "thinking not opened and closed exactly once",
    UNBOXED,
)  # why a row must not be learnt; their places stand in files (`token_shards`)
_GROUP = 512  # traces that are tokenized together


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the encoder made of a trace."""

    ids: "array[int]"  # int32, prompt and completion; empty: not tokenized
    prompt_length: int
    fault: int = 0  # of FAULTS
    box_added: bool = False  # the response ended without one


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training data. The loss covers `ids[prompt_length:]`: the assistant's turn and
    its end token.
    """

    id: str
    problem_id: str
    source: str
    corpus: int  # which of the configuration's corpora
    ids: "array[int]"  # int32 token ids, never cut
    prompt_length: int
    box_added: bool = False  # the response ended without one

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def loss_mask(self) -> list[int]:
        """[len(ids)] 1 where the loss counts, else 0."""
        return [0] * self.prompt_length + [1] * (len(self.ids) - self.prompt_length)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A trace that is not learnt, with its reason and what it cost to make."""

    id: str
    reason: str
    tokens: int = 0  # its length where it was tokenized
    cost_usd: float | None = None


class Encoder:
    """Turns traces into examples with one tokenizer, one renderer and one limit of length."""

    def __init__(
        self, tokenizer: Any, chat: ChatRenderer, max_length: int, add_box: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self._chat = chat
        self._max_length = max_length
        self._add_box = add_box
        self.end_id = end_of_turn_id(tokenizer, chat)

    def encode(self, traces: Iterable[Trace], corpus: int = 0) -> Iterator[Example | LeftOut]:
        """An example, or the reason why there is none, for each trace in order."""
        for trace, tokens in self.tokenize(traces):
            num_tokens = len(tokens.ids)
            reason = TOO_LONG if num_tokens > self._max_length else FAULTS[tokens.fault]
            if reason:
                yield LeftOut(trace.id, reason, num_tokens, trace.cost_usd)
            else:
                yield Example(
                    trace.id,
                    trace.problem_id,
                    trace.source,
                    corpus,
                    tokens.ids,
                    tokens.prompt_length,
                    tokens.box_added,
                )

    def tokenize(self, traces: Iterable[Trace]) -> Iterator[tuple[Trace, Tokens]]:
        """The tokens of each trace in order, of whatever length, with what is wrong with them."""
        remaining_traces = iter(traces)
        # The tokenizer works on a group in parallel.
        for group in iter(lambda: list(islice(remaining_traces, _GROUP)), []):
            responses = [self._response(trace) for trace in group]
            pairs = [
                render(trace, response, self._chat)
                for trace, response in zip(group, responses, strict=True)
            ]
            prompts = self._ids([pair.prompt for pair in pairs])
            completions = self._ids([pair.completion for pair in pairs])
            for trace, response, pair, prompt, completion in zip(
                group, responses, pairs, prompts, completions, strict=True
            ):
                ids = array("i", [*prompt, *completion])
                fault = FAULTS.index(self._fault(pair, completion))
                yield trace, Tokens(ids, len(prompt), fault, response != trace.response)

    def _response(self, trace: Trace) -> str:
        """What is learnt of a trace's response: it, or it with the verified answer in a box."""
        if not self._add_box or BOX in trace.response or trace.verdict != "correct":
            return trace.response
        # The data set's own words: what was said, "6 pages" or "$29.00", was found equal to them.
        answer = trace.gold or trace.final_answer
        if not answer or answer.count("{") != answer.count("}"):
            return trace.response
        return f"{trace.response.rstrip()}\n\n{BOX}{answer}}}"

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        # verbose=False: a long trace is counted and left out by us, so the tokenizer's own remark
        # would mislead.
        encoding = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        ids: list[list[int]] = encoding["input_ids"]
        return ids

    def _fault(self, pair: Rendered, completion: list[int]) -> str:
        """Why this row must not be learnt, read from its tokens as the loss will see them; ""
        if it is sound.
        """
        if completion[-1:] != [self.end_id] or completion.count(self.end_id) != 1:
            return FAULTS[1]
        text = self._tokenizer.decode(
            completion, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        thinking, closing, answer = text.partition(THINK_CLOSE)
        has_opening = THINK_OPEN in thinking or THINK_OPEN in pair.prompt[-len(THINK_OPEN) - 2 :]
        if not closing or not has_opening or THINK_CLOSE in answer:
            return FAULTS[2]
        if BOX not in answer:
            return UNBOXED
        return ""


def render(trace: Trace, response: str, chat: ChatRenderer) -> Rendered:
    """The training view of a trace as text: its user's turn as it was sent, its thinking and
    `response`.
    """
    return chat.example(training_messages(user_turn(trace), trace.reasoning, response))


def user_turn(trace: Trace) -> str:
    """What the user asked last, as it was sent."""
    turns = (m["content"] for m in reversed(trace.messages) if m["role"] == "user")
    return next(turns, trace.problem)
