"""`chat`: talk to the model that a run made: answers stream, thinking is dimmed, `/compare`
asks the base as well.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.loading import load_model, load_tokenizer, prompt_token_ids
from shared.inference.stop_tokens import stop_token_ids
from shared.records import Message
from shared.rendering import ChatRenderer
from shared.thinking import THINK_CLOSE, THINK_OPEN

HELP = """\
/compare [question]   base and tuned model answer the question (or the last one) one after the other
/new                  forget the conversation
/temperature X        0: the most likely token each time
/tokens N             the longest answer
/quit                 or the end of input; Ctrl-C stops an answer"""
DIM = "\x1b[2m"
PLAIN = "\x1b[0m"
DECODE = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}


@dataclass(slots=True)
class SamplingSettings:
    """How answers are drawn."""

    temperature: float = 0.0
    max_new_tokens: int = 2048


class Thinking:
    """Cuts a stream of text into (is thinking, text), also where a tag comes in several parts.
    Pure.
    """

    def __init__(self, inside: bool = False) -> None:
        self._inside = inside
        self._pending = ""

    def feed(self, text: str, last: bool = False) -> Iterator[tuple[bool, str]]:
        """The parts that are certain now. `last`: no more text comes, so nothing is held back."""
        self._pending += text
        tag = self._next_tag()
        while tag in self._pending:
            before, _, after = self._pending.partition(tag)
            # The tags belong to the thinking: they are dimmed with it.
            yield from _parts((self._inside, before), (True, tag))
            self._inside = not self._inside
            self._pending = after
            tag = self._next_tag()
        certain = len(self._pending)
        if not last:
            certain -= _begun(self._pending, tag)
        part = self._pending[:certain]
        self._pending = self._pending[certain:]
        yield from _parts((self._inside, part))

    def _next_tag(self) -> str:
        return THINK_CLOSE if self._inside else THINK_OPEN


class Speaker:
    """The tuned model, and the base beside it. Owns the weights."""

    def __init__(self, run: Path) -> None:
        from trainer.artifacts.merge import run_config
        from trainer.layers.backends import load_adapted

        self._config = run_config(run)
        adapter_folder = run / "adapter"
        merged_folder = run / "merged"
        has_adapter = (adapter_folder / "adapter_config.json").exists()
        if not has_adapter and not (merged_folder / "config.json").exists():
            raise InputError(
                f"{run}: neither adapter/ nor merged/: let `python -m trainer run` end first"
            )
        self.tokenizer = load_tokenizer(adapter_folder if has_adapter else merged_folder)
        self.chat = ChatRenderer.of(self.tokenizer, self._config.system)
        self._base: Any = None
        if has_adapter:
            self._tuned = load_adapted(
                self._config.model, adapter_folder, self._config.rope_scaling
            )
        else:
            self._tuned = load_model(merged_folder)
        self._decoder_kind: Any = None  # known from the first answer on; base and tuned are alike

    def answer(
        self,
        messages: list[Message],
        settings: SamplingSettings,
        show: Callable[[str], None],
        base: bool,
    ) -> str:
        """The whole completion; `show` gets its text as it comes. Raises KeyboardInterrupt as
        it happens.
        """
        import torch

        from shared.inference.generation import decoder_kind, generate
        from shared.inference.requests import Prompt, Sampling

        prompt_ids = prompt_token_ids(self.tokenizer, self.chat.prompt(messages))
        limit = settings.max_new_tokens
        draws = torch.rand(limit) if settings.temperature > 0 else None
        streamer = _streamer(self.tokenizer, show)
        model, adapter_off = self._model(base)
        stop_ids = stop_token_ids(self.tokenizer, self.chat, model)

        def stream(indices: Any, tokens: Any) -> None:
            if tokens[0] not in stop_ids:
                streamer.put(torch.from_numpy(tokens))

        sampling = Sampling(settings.temperature, stop_ids=stop_ids)
        with adapter_off:
            if self._decoder_kind is None:
                self._decoder_kind = decoder_kind(model, prompt_ids)
            prompt = Prompt(prompt_ids, limit, draws)
            (answer,) = generate(model, [prompt], sampling, stream, kind=self._decoder_kind)
        streamer.end()
        if not answer.stopped:
            show(f"\n(cut at {limit:,} tokens)")
        text: str = self.tokenizer.decode(answer.tokens, **DECODE)
        return self.chat.answer(text)

    def _model(self, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        """The model to ask, and a context in which its adapter is as it should be."""
        if not base:
            return self._tuned, nullcontext()
        if hasattr(self._tuned, "disable_adapter"):
            return self._tuned, self._tuned.disable_adapter()
        if self._base is None:
            self._base = load_model(self._config.model)
        return self._base, nullcontext()


def chat(run: Path, temperature: float = 0.0, max_new_tokens: int = 2048) -> int:
    """Read lines until the end of input, answer each. Errors: `InputError` where the run has no
    weights yet.
    """
    if temperature < 0 or max_new_tokens < 1:
        raise InputError("--temperature must be 0 or more, --max-new-tokens 1 or more")
    settings = SamplingSettings(temperature, max_new_tokens)
    speaker = Speaker(run)
    conversation: list[Message] = []
    print(f"{run}: type a problem, /help for commands")
    for line in iter(_read, None):
        text = line.strip()
        command, _, argument = text.partition(" ")
        if not command:
            continue
        if command in ("/quit", "/exit"):
            break
        if command == "/new":
            conversation.clear()
        elif command == "/compare":
            _compare(speaker, conversation, argument.strip(), settings)
        elif command.startswith("/"):
            print(_set(command, argument.strip(), settings))
        else:
            _converse(speaker, conversation, text, settings)
    return 0


def _converse(
    speaker: Speaker, conversation: list[Message], question: str, settings: SamplingSettings
) -> None:
    """A question and its answer, which join the conversation; neither where it was stopped."""
    messages: list[Message] = [*conversation, {"role": "user", "content": question}]
    answer = _say(speaker, messages, settings, base=False)
    if answer is not None:
        conversation[:] = [*messages, {"role": "assistant", "content": answer}]


def _compare(
    speaker: Speaker, conversation: list[Message], question: str, settings: SamplingSettings
) -> None:
    """Base and tuned model answer `question`, or the conversation's last one where it is ""."""
    messages = list(conversation)
    if question:
        messages.append({"role": "user", "content": question})
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    if not messages:
        print("ask something first, or write /compare QUESTION")
        return
    for base, name in ((True, "base"), (False, "tuned")):
        print(f"── {name}")
        _say(speaker, messages, settings, base=base)


def _say(
    speaker: Speaker, messages: list[Message], settings: SamplingSettings, *, base: bool
) -> str | None:
    """Print an answer as it comes. None where the user stopped it."""
    has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
    thinking = Thinking(inside=THINK_OPEN in speaker.chat.opening)

    def show(text: str, last: bool = False) -> None:
        for is_thinking, part in thinking.feed(text, last):
            is_dim = is_thinking and has_colour
            print(f"{DIM}{part}{PLAIN}" if is_dim else part, end="", flush=True)

    try:
        answer = speaker.answer(messages, settings, show, base)
    except KeyboardInterrupt:
        print("\n(stopped)")
        return None
    show("", last=True)
    print()
    return answer


def _set(command: str, value: str, settings: SamplingSettings) -> str:
    """Change a setting; the line to print."""
    try:
        if command == "/temperature" and float(value) >= 0:
            settings.temperature = float(value)
            return f"temperature {settings.temperature:g}"
        if command == "/tokens" and int(value) > 0:
            settings.max_new_tokens = int(value)
            return f"at most {settings.max_new_tokens:,} tokens"
    except ValueError:
        pass
    return HELP


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None


def _streamer(tokenizer: Any, show: Callable[[str], None]) -> Any:
    from transformers import TextStreamer

    class Shown(TextStreamer):  # type: ignore[misc]
        """Whole words as they are ready, to `show` instead of to the screen."""

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                show(text)

    return Shown(tokenizer, **DECODE)


def _parts(*parts: tuple[bool, str]) -> Iterator[tuple[bool, str]]:
    yield from (part for part in parts if part[1])


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    longest = min(len(text), len(tag) - 1)
    lengths = (n for n in range(longest, 0, -1) if text.endswith(tag[:n]))
    return next(lengths, 0)
