"""A few fixed held-out problems, answered greedily while the model trains: what the loss cannot
say.

Loss falls long before answers are right, and goes on falling when the model has begun to ramble.
The eval's numbers are those that matter later: right, boxed, thinking never closed, length.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from shared.rendering import ChatRenderer
from shared.thinking import split, spoken
from trainer.data.selection import HeldOut


class GreedyCompletion(NamedTuple):
    """A greedy completion, without the token that ended it."""

    text: str
    num_tokens: int
    ended: bool  # by itself, not by the limit


@dataclass(frozen=True, slots=True)
class EvalAnswer:
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
class EvalResult:
    """All answers of one generation eval."""

    step: int
    answers: tuple[EvalAnswer, ...]

    def share(self, field: str) -> float:
        """The mean of a field of `EvalAnswer` over all answers."""
        total = float(sum(getattr(answer, field) for answer in self.answers))
        return total / max(1, len(self.answers))

    @property
    def summary(self) -> dict[str, float]:
        """Shares of all answers, mean tokens and the number of problems, for metrics.jsonl."""
        return {
            "right": self.share("right"),
            "boxed": self.share("boxed"),
            "unclosed": 1.0 - self.share("closed"),
            "mean_tokens": self.share("tokens"),
            "problems": float(len(self.answers)),
        }

    def line(self) -> str:
        """The result as one line for the user."""
        num_right = sum(answer.right for answer in self.answers)
        num_boxed = sum(answer.boxed for answer in self.answers)
        num_unclosed = sum(not answer.closed for answer in self.answers)
        return (
            f"generation eval at step {self.step}: {num_right} of {len(self.answers)} right, {num_boxed} boxed,"
            f" {num_unclosed} never closed their thinking, {self.share('tokens'):.0f} tokens on average"
        )

    def record(self) -> dict[str, Any]:
        """The result as a line of probe.jsonl."""
        return {
            "step": self.step,
            **self.summary,
            "answers": [asdict(answer) for answer in self.answers],
        }


class GenerationEval:
    """Asks the same questions again and again. Owns no model: it is given one each time."""

    def __init__(
        self,
        questions: Sequence[HeldOut],
        tokenizer: Any,
        chat: ChatRenderer,
        max_new_tokens: int,
        backend: str = "trl",
    ) -> None:
        self._questions = list(questions)
        self._tokenizer = tokenizer
        self._chat = chat
        self._max_new_tokens = max_new_tokens
        self._backend = backend

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, model: Any, step: int) -> EvalResult:
        """Answers of `model`, which must be ready to generate (see `ready_to_generate`)."""
        prompts = [question.prompt for question in self._questions]
        completions = generate(
            model, self._tokenizer, self._chat, prompts, self._max_new_tokens, self._backend
        )
        answers = [
            graded(question, completion, self._chat)
            for question, completion in zip(self._questions, completions, strict=True)
        ]
        return EvalResult(step, tuple(answers))


def graded(question: HeldOut, completion: GreedyCompletion, chat: ChatRenderer) -> EvalAnswer:
    """What became of a completion. An unclosed thinking is no answer, whatever it contains."""
    from shared.grading import grade

    text = chat.answer(completion.text)
    parts = split(text, untagged_is_thinking=not completion.ended)
    is_boxed = not parts.unclosed and "\\boxed{" in (spoken(parts.response) or "")
    verdict = grade(parts.response, question.gold, question.problem).verdict if is_boxed else ""
    return EvalAnswer(
        question.problem_id,
        question.problem,
        question.gold,
        text,
        completion.num_tokens,
        completion.ended,
        not parts.unclosed,
        is_boxed,
        verdict == "correct",
    )


def answer_limit(configured: int, answer_lengths: Sequence[int], max_length: int) -> int:
    """Tokens that an answer may take: as configured, or (0) half as much again as 99
    of 100 traces took (`answer_lengths`, in tokens).
    """
    if configured:
        return configured
    lengths = sorted(answer_lengths)
    usual = lengths[min(len(lengths) - 1, round(0.99 * len(lengths)))]
    return min(max_length, max(64, round(1.5 * usual)))


def generate(
    model: Any,
    tokenizer: Any,
    chat: ChatRenderer,
    prompts: Sequence[str],
    max_new_tokens: int,
    backend: str = "trl",
) -> list[GreedyCompletion]:
    """Greedy completions of rendered prompts, in their order."""
    # Only now: Unsloth, where used, must have been imported before transformers.
    from shared.inference import generation
    from shared.inference.hf_generate import HfDecoder
    from shared.inference.loading import prompt_token_ids
    from shared.inference.requests import Prompt, Sampling
    from shared.inference.stop_tokens import stop_token_ids

    greedy = Sampling(stop_ids=stop_token_ids(tokenizer, chat, model))
    answers = generation.generate(
        model,
        [Prompt(prompt_token_ids(tokenizer, prompt), max_new_tokens) for prompt in prompts],
        greedy,
        kind=HfDecoder if backend == "unsloth" else None,  # Unsloth's attention has its own cache
    )
    return [
        GreedyCompletion(
            tokenizer.decode(answer.tokens, skip_special_tokens=False),
            len(answer.tokens),
            answer.stopped,
        )
        for answer in answers
    ]


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
    training_attention = base.config._attn_implementation
    was_training = model.training
    checkpointing_layers = [
        layer
        for layer in base.get_decoder().layers
        if getattr(layer, "gradient_checkpointing", False)
    ]
    model.eval()
    base.set_attn_implementation("sdpa")
    for layer in checkpointing_layers:  # checkpointing and a key-value cache exclude one another
        layer.gradient_checkpointing = False
    try:
        # A cache grows by a token a call: compiled layers would be compiled again for each length.
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for layer in checkpointing_layers:
            layer.gradient_checkpointing = True
        base.set_attn_implementation(training_attention)
        model.train(was_training)
