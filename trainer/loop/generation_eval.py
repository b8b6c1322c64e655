"""A few fixed held-out problems, answered greedily while the model trains: what the loss cannot
say.

Loss falls long before answers are right, and goes on falling when the model has begun to ramble.
The probe's numbers are those that matter later: right, boxed, thinking never closed, length.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from shared.inference.generation_config import decoding
from shared.rendering import ChatRenderer
from shared.thinking import split, spoken
from trainer.data.examples import Example, end_token_id
from trainer.data.selection import HeldOut


@dataclass(frozen=True, slots=True)
class Answer:
    """One greedy answer and what became of it."""

    problem_id: str
    problem: str
    gold: str
    text: str  # the assistant's content, thinking included
    tokens: int
    ended: bool  # with the end token, not with the limit
    closed: bool  # the thinking
    boxed: bool  # after the thinking
    right: bool


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """All answers of one probe."""

    step: int
    answers: tuple[Answer, ...]

    def share(self, what: str) -> float:
        return float(sum(getattr(answer, what) for answer in self.answers)) / max(
            1, len(self.answers)
        )

    @property
    def summary(self) -> dict[str, float]:
        return {
            "right": self.share("right"),
            "boxed": self.share("boxed"),
            "unclosed": 1.0 - self.share("closed"),
            "mean_tokens": self.share("tokens"),
            "problems": float(len(self.answers)),
        }

    def line(self) -> str:
        count = len(self.answers)
        right, boxed, closed = (
            sum(getattr(a, name) for a in self.answers) for name in ("right", "boxed", "closed")
        )
        return (
            f"probe at step {self.step}: {right} of {count} right, {boxed} boxed, {count - closed}"
            f" never closed their thinking, {self.share('tokens'):.0f} tokens on average"
        )

    def record(self) -> dict[str, Any]:
        return {
            "step": self.step,
            **self.summary,
            "answers": [asdict(answer) for answer in self.answers],
        }


class Prober:
    """Asks the same questions again and again. Owns no model: it is given one each time."""

    def __init__(
        self, questions: Sequence[HeldOut], tokenizer: Any, chat: ChatRenderer, max_new_tokens: int
    ) -> None:
        self._questions, self._tokenizer, self._chat = list(questions), tokenizer, chat
        self._max_new_tokens = max_new_tokens

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, model: Any, step: int) -> ProbeResult:
        """Answers of `model`, which must be ready to generate (see `ready_to_generate`)."""
        prompts = [question.prompt for question in self._questions]
        completions = generate(model, self._tokenizer, self._chat, prompts, self._max_new_tokens)
        judged = [
            self._judge(q, *completion)
            for q, completion in zip(self._questions, completions, strict=True)
        ]
        return ProbeResult(step, tuple(judged))

    def _judge(self, question: HeldOut, completion: str, tokens: int, ended: bool) -> Answer:
        from shared.grading import grade

        text = self._chat.answer(completion)
        parts = split(text, untagged_is_thinking=not ended)
        # An unclosed thinking is no answer, whatever it contains.
        boxed = not parts.unclosed and "\\boxed{" in (spoken(parts.response) or "")
        right = (
            boxed and grade(parts.response, question.gold, question.problem).verdict == "correct"
        )
        return Answer(
            question.problem_id,
            question.problem,
            question.gold,
            text,
            tokens,
            ended,
            not parts.unclosed,
            boxed,
            right,
        )


def answer_limit(given: int, examples: Sequence[Example], max_length: int) -> int:
    """Tokens that an answer of the probe may take: as given, or half as much again as 99 of 100
    traces took.
    """
    if given:
        return given
    lengths = sorted(len(example) - example.prompt_length for example in examples)
    usual = lengths[min(len(lengths) - 1, round(0.99 * len(lengths)))]
    return min(max_length, max(64, round(1.5 * usual)))


def generate(
    model: Any,
    tokenizer: Any,
    chat: ChatRenderer,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch: int = 64,
) -> list[tuple[str, int, bool]]:
    """Greedy completions: (text without the end of turn, tokens, whether it ended by itself) for
    each prompt in order.

    Prompts of like length go together; padding stands on the left and is masked, so that it changes
    nothing.
    """
    import torch

    end = end_token_id(tokenizer, chat)
    ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    done: dict[int, tuple[str, int, bool]] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        width = max(len(ids[i]) for i in group)
        tokens = torch.tensor(
            [[end] * (width - len(ids[i])) + ids[i] for i in group], device=model.device
        )
        mask = torch.tensor(
            [[0] * (width - len(ids[i])) + [1] * len(ids[i]) for i in group], device=model.device
        )
        ends = {"eos_token_id": end, "pad_token_id": end}
        with (
            torch.no_grad(),
            decoding(model, max_new_tokens=max_new_tokens, use_cache=True, **ends) as greedy,
        ):
            out = model.generate(input_ids=tokens, attention_mask=mask, generation_config=greedy)
        for i, row in zip(group, out[:, width:].tolist(), strict=True):
            length = row.index(end) if end in row else len(row)
            text = tokenizer.decode(row[:length], skip_special_tokens=False)
            done[i] = (text, length, end in row)
    return [done[i] for i in range(len(prompts))]


@contextmanager
def ready_to_generate(model: Any, backend: str) -> Iterator[None]:
    """A model in training, made ready to generate, and put back afterwards."""
    import torch

    if backend == "unsloth":
        from unsloth import FastLanguageModel

        FastLanguageModel.for_inference(model)
        try:
            yield
        finally:
            FastLanguageModel.for_training(model)
        return
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = base.get_decoder()
    attention, training = base.config._attn_implementation, model.training
    layers = [layer for layer in decoder.layers if getattr(layer, "gradient_checkpointing", False)]
    model.eval()
    base.set_attn_implementation("sdpa")
    for layer in layers:  # checkpointing and a key-value cache exclude one another
        layer.gradient_checkpointing = False
    try:
        # A cache grows by a token a call: compiled layers would be compiled again for each length.
        with torch.compiler.set_stance("force_eager") if backend == "trl" else nullcontext():
            yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = True
        base.set_attn_implementation(attention)
        model.train(training)
