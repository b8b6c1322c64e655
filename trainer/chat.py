"""`chat`: talk to the model that a run made: answers stream, thinking is dimmed, `/compare`
asks the base as well.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.inference.generation_config import decoding
from shared.records import Message
from shared.rendering import ChatRenderer
from shared.thinking import THINK_CLOSE, THINK_OPEN

HELP = """\
/compare [question]   base and tuned model answer the question (or the last one) one after the other
/new                  forget the conversation
/temperature X        0: the most likely token each time
/tokens N             the longest answer
/quit                 or the end of input; Ctrl-C stops an answer"""
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


@dataclass(slots=True)
class Settings:
    """How answers are drawn."""

    temperature: float = 0.0
    max_new_tokens: int = 2048


class Thinking:
    """Cuts a stream of text into (is thinking, text), also where a tag comes in several parts.
    Pure.
    """

    def __init__(self, inside: bool = False) -> None:
        self._inside, self._held = inside, ""

    def feed(self, text: str, last: bool = False) -> Iterator[tuple[bool, str]]:
        self._held += text
        while True:
            tag = THINK_CLOSE if self._inside else THINK_OPEN
            before, found, after = self._held.partition(tag)
            if not found:
                break
            # The tags belong to the thinking: they are dimmed with it.
            yield from _parts((self._inside, before), (True, tag))
            self._inside, self._held = not self._inside, after
        keep = 0 if last else _begun(self._held, tag)
        shown, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        yield from _parts((self._inside, shown))


class Speaker:
    """The tuned model, and the base beside it. Owns the weights."""

    def __init__(self, run: Path) -> None:
        from trainer.artifacts.merge import run_config
        from trainer.layers.backends import load_adapted, load_to_answer, load_tokenizer

        self._config = run_config(run)
        adapter = (run / "adapter" / "adapter_config.json").exists()
        merged = run / "merged"
        if not adapter and not (merged / "config.json").exists():
            raise InputError(
                f"{run}: neither adapter/ nor merged/: let `python -m trainer run` end first"
            )
        self.tokenizer = load_tokenizer(str(run / "adapter" if adapter else merged))
        self.chat = ChatRenderer.of(self.tokenizer, self._config.system)
        self._base: Any = None
        if adapter:
            self._tuned = load_adapted(self._config.model, run / "adapter")
        else:
            self._tuned = load_to_answer(merged)

    def answer(
        self, messages: list[Message], settings: Settings, show: Callable[[str], None], base: bool
    ) -> str:
        """The whole completion; `show` gets its text as it comes. Raises KeyboardInterrupt as
        it happens.
        """
        import torch

        from trainer.data.examples import end_token_id

        end = end_token_id(self.tokenizer, self.chat)
        prompt = self.tokenizer(
            self.chat.prompt(messages), add_special_tokens=False, return_tensors="pt"
        )["input_ids"]
        prompt = prompt.to(self._tuned.device)
        model, without = self._model(base)
        asked = {
            "max_new_tokens": settings.max_new_tokens,
            "eos_token_id": end,
            "pad_token_id": end,
        }
        with (
            torch.inference_mode(),
            without,
            decoding(model, settings.temperature, **asked) as drawn,
        ):
            out = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=drawn,
                streamer=_streamer(self.tokenizer, show),
            )
        ids = out[0, prompt.shape[1] :].tolist()
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if ids[-1:] != [end]:
            show(f"\n(cut at {settings.max_new_tokens:,} tokens)")
        return self.chat.answer(text)

    def _model(self, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        if not base:
            return self._tuned, nullcontext()
        if hasattr(self._tuned, "disable_adapter"):
            return self._tuned, self._tuned.disable_adapter()
        if self._base is None:
            from trainer.layers.backends import load_to_answer

            self._base = load_to_answer(self._config.model)
        return self._base, nullcontext()


def chat(run: Path, temperature: float = 0.0, max_new_tokens: int = 2048) -> int:
    """Read lines until the end of input, answer each. Errors: `InputError` where the run has no
    weights yet.
    """
    if temperature < 0 or max_new_tokens < 1:
        raise InputError("--temperature must be 0 or more, --max-new-tokens 1 or more")
    settings, speaker = Settings(temperature, max_new_tokens), Speaker(run)
    conversation: list[Message] = []
    print(f"{run}: type a problem, /help for commands")
    while (line := _read()) is not None:
        command, _, rest = line.strip().partition(" ")
        if not command:
            continue
        if command in ("/quit", "/exit"):
            break
        if command == "/new":
            conversation.clear()
        elif command == "/compare":
            _compare(speaker, conversation, rest.strip(), settings)
        elif command.startswith("/"):
            print(_set(command, rest.strip(), settings))
        else:
            conversation.append({"role": "user", "content": line.strip()})
            said = _say(speaker, conversation, settings, base=False)
            if said is None:
                conversation.pop()
            else:
                conversation.append({"role": "assistant", "content": said})
    return 0


def _compare(
    speaker: Speaker, conversation: list[Message], question: str, settings: Settings
) -> None:
    asked = next(
        (i for i in reversed(range(len(conversation))) if conversation[i]["role"] == "user"), None
    )
    if question:
        messages: list[Message] = [*conversation, {"role": "user", "content": question}]
    elif asked is not None:
        messages = conversation[: asked + 1]
    else:
        print("ask something first, or write /compare QUESTION")
        return
    for base, name in ((True, "base"), (False, "tuned")):
        print(f"── {name}")
        _say(speaker, messages, settings, base=base)


def _say(
    speaker: Speaker, messages: list[Message], settings: Settings, *, base: bool
) -> str | None:
    """Print an answer as it comes. None where the user stopped it."""
    colour = sys.stdout.isatty()
    thinking = Thinking(inside=THINK_OPEN in speaker.chat.opening)

    def show(text: str, last: bool = False) -> None:
        for inside, part in thinking.feed(text.replace(speaker.chat.end, ""), last):
            print(f"{DIM}{part}{PLAIN}" if inside and colour else part, end="", flush=True)

    try:
        said = speaker.answer(messages, settings, show, base)
    except KeyboardInterrupt:
        print("\n(stopped)")
        return None
    show("", last=True)
    print()
    return said


def _set(command: str, value: str, settings: Settings) -> str:
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

    return Shown(tokenizer, skip_prompt=True, skip_special_tokens=False)


def _parts(*parts: tuple[bool, str]) -> Iterator[tuple[bool, str]]:
    yield from (part for part in parts if part[1])


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next(
        (n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0
    )
