"""The one place where messages become prompt text: training, chat and evaluation render through it,
so they agree.

    chat = ChatRenderer.of(tokenizer)                     # or ChatRenderer(template, {"eos_token": "<|im_end|>"})
    chat.prompt([{"role": "user", "content": "2 + 2?"}])  # what the model sees before it answers
    chat.example([*before, answer])                       # (prompt, completion) to learn

The agreement:

1. Tokenize what comes back with `add_special_tokens=False`: the template has written every special
   token itself.
2. The system message is a decision, never an accident. Some templates (Qwen2.5: "You are Qwen,
   created by Alibaba
   Cloud…") insert a text of their own where the conversation has no system message. `system=None` (our default)
   keeps what the template does by itself, because every server that knows only the template (vLLM, llama.cpp, Ollama)
   will do the same for the tuned model. `system=""` silences that text with an explicit empty system message; any
   other text is put first. A conversation that brings its own system message keeps it. `default_system` says what
   would be inserted.
3. The assistant's turn that is learnt never goes through the template (R1-Distill templates delete
   the thinking):
   completion = content + the template's own end of turn. Where the template already opens the thinking in its
   generation prompt (`opening`), the completion does not open it again.
4. Earlier assistant turns of a conversation are shown without their thinking, as R1's authors
   advise.
5. The student is to think: where a template closes the thinking in its generation prompt (Qwen3.5's
   small models), it
   is asked with `enable_thinking`, and an empty thought that still stands there is taken out of the prompt.
6. A template's date is that of `today`, so that a run which goes on tomorrow renders what it began
   with, or the one that was written into it (`shared.template_date`). `template` has it.
7. `digest` names template and policy together: equal digests render equal prompts. It stands in
   every manifest.

No torch and no transformers here: a tokenizer is anything with `chat_template` and
`special_tokens_map`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from shared.errors import InputError
from shared.records import Message
from shared.template_date import freeze_date
from shared.thinking import THINK_CLOSE, THINK_OPEN, spoken

# Texts that no template contains, to find in a rendering where the parts of a turn begin and end.
_USER = "\x01user\x01"
_ASSISTANT = "\x01assistant\x01"
_SYSTEM = "\x01system\x01"

# By which templates are asked to leave the thinking open, in their several dialects.
_THINKING_ARGUMENTS = {"enable_thinking": True, "thinking": True}

_EMPTY_THOUGHT = re.compile(rf"{THINK_OPEN}\s*{THINK_CLOSE}\s*\Z")


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is needed here."""

    chat_template: Any  # the template's text, or several of them by name
    special_tokens_map: Any


class Rendered(NamedTuple):
    """A conversation as text. The loss covers `completion` and nothing of `prompt`."""

    prompt: str
    completion: str


class ChatRenderer:
    """Renders conversations with one chat template and one system message policy. Immutable.

    Raises `InputError` where there is no template, or it cannot render a user's turn followed by an
    assistant's.
    """

    def __init__(
        self,
        template: str,
        special_tokens: Mapping[str, Any],
        system: str | None = None,
        today: datetime | None = None,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._special = {
            name: str(token) for name, token in special_tokens.items() if isinstance(token, str)
        }
        self.today = today or datetime.now()
        self.template = freeze_date(template, self.today)
        self._template = _compile(self.template, self.today)
        self.system = system
        self._own_arguments = dict(arguments)
        self._arguments: dict[str, Any] = {}
        self._closed = self._find_closed_thought()
        self.default_system = self._find_default_system()
        self.opening, self.end = self._find_turn()
        special = dict(self._special)
        if special.get("eos_token") and self.end.strip():
            # What ends a turn is the end token of a folder that a training writes, whatever the
            # base's was.
            special["eos_token"] = self.end.strip()
        identity: list[Any] = [self.template, sorted(special.items()), system]
        if self._arguments:
            identity.append([sorted(self._arguments), self._closed])
        if self._own_arguments:
            identity.append(sorted(self._own_arguments.items()))
        self.digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        system: str | None = None,
        place: str = "the model folder",
        today: datetime | None = None,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> "ChatRenderer":
        """The renderer of a tokenizer's own template. `place` names the model in the message
        when it has none; `arguments` are what the user gives the template (enable_thinking, …).
        """
        template = tokenizer.chat_template
        if isinstance(template, Mapping):
            template = template.get("default")
        if not template:
            raise InputError(
                f"{place}: the tokenizer has no chat template: use an instruct model, put"
                " chat_template.jinja in its folder, or train it with one by name (data.template ="
                ' "chatml")'
            )
        return cls(template, tokenizer.special_tokens_map, system, today, arguments)

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text up to where the assistant begins to answer; the last message is the user's."""
        return self._render(self._with_system(messages), generate=True).removesuffix(self._closed)

    def example(self, messages: Sequence[Message]) -> Rendered:
        """Prompt and completion of a conversation whose last message is the assistant's."""
        *before, answer = messages
        if answer["role"] != "assistant":
            raise ValueError(f"the last message is the {answer['role']}'s, not the assistant's")
        content = answer["content"]
        if self.opening and content.startswith(self.opening.strip()):
            content = content[len(self.opening.strip()) :].lstrip("\n")
        return Rendered(self.prompt(before), content + self.end)

    def answer(self, completion: str) -> str:
        """A generated completion as the assistant's content: no end of turn, an opening by the
        template put back.
        """
        text = completion.split(self.end, 1)[0] if self.end else completion
        if self.opening and not text.lstrip().startswith(THINK_OPEN):
            text = self.opening + text
        return text

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        shown = [
            (
                {**message, "content": without_thinking(message["content"])}
                if message["role"] == "assistant"
                else message
            )
            for message in messages
        ]
        if shown and shown[0]["role"] == "system":
            return shown
        if self.system is None or (self.system == "" and not self.default_system):
            return shown
        return [{"role": "system", "content": self.system}, *shown]

    def _render(self, messages: Sequence[Message], *, generate: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._template.render(
                messages=list(messages),
                add_generation_prompt=generate,
                **self._special,
                **self._arguments,
            )
        except TemplateError as error:
            raise InputError(
                f"chat template: {error}: correct the template in the model's folder"
            ) from None
        return text

    def _find_closed_thought(self) -> str:
        """The empty thought that the generation prompt ends with, also when asked to leave
        thinking open; mostly "".
        """
        empty_thought = ""
        if _THINKING_ARGUMENTS.keys() & self._own_arguments.keys():  # it is as the user says
            self._arguments = self._own_arguments
            return ""
        for arguments in ({}, _THINKING_ARGUMENTS):
            self._arguments = arguments | self._own_arguments
            prompt = self._render([{"role": "user", "content": _USER}], generate=True)
            match = _EMPTY_THOUGHT.search(prompt)
            if match is None:
                return ""
            empty_thought = match[0]
        return empty_thought

    def _find_default_system(self) -> str:
        """What the template inserts by itself as system text; "" for nothing."""
        user = {"role": "user", "content": _USER}
        try:
            with_system = self._render(
                [{"role": "system", "content": _SYSTEM}, user],
                generate=False,
            )
        except InputError:
            return ""  # a template that refuses system messages (Gemma) inserts none
        before, system, after = with_system.partition(_SYSTEM)
        plain = self._render([user], generate=False)
        if not system or not plain.startswith(before) or not plain.endswith(after):
            return ""
        # Shorter than the frame alone, the end is the start's own: nothing stands between.
        return plain[len(before) : max(len(before), len(plain) - len(after))]

    def _find_turn(self) -> tuple[str, str]:
        """(what the generation prompt already opens of the answer, the end of the assistant's
        turn).
        """
        user = {"role": "user", "content": _USER}
        whole = self._render([user, {"role": "assistant", "content": _ASSISTANT}], generate=False)
        start, content, end = whole.partition(_ASSISTANT)
        if not content:
            raise InputError(
                "chat template: it does not show the assistant's content: correct the template"
            )
        prompt = self._render([user], generate=True).removesuffix(self._closed)
        tag_start = prompt.rfind(THINK_OPEN)
        opening = prompt[tag_start:] if tag_start > prompt.rfind(_USER) else ""
        if not start.startswith(prompt.removesuffix(opening)):
            raise InputError(
                "chat template: its generation prompt differs from the start of an assistant's turn"
            )
        # A newline after the end token is the frame of the next turn.
        return opening, self._without_end_of_text(end.removesuffix("\n"))

    def _without_end_of_text(self, end: str) -> str:
        """The end of a turn without the token that a template (Phi's) puts after the last turn
        of all.
        """
        shorter = end.removesuffix(self._special.get("eos_token", "")).removesuffix("\n")
        if not shorter or shorter == end:
            return end
        user = {"role": "user", "content": _USER}
        assistant = {"role": "assistant", "content": _ASSISTANT}
        try:
            two_turns = self._render([user, assistant, user], generate=False)
        except InputError:  # a template of one turn
            return end
        _, _, after = two_turns.partition(_ASSISTANT)
        if after.startswith(shorter) and not after.startswith(end):
            return shorter
        return end


def without_thinking(content: str) -> str:
    """An assistant's content as later turns of a conversation show it: only what was said outside
    the thinking. One that was interrupted while it thought is shown as it is.
    """
    answer = spoken(content)
    return content if answer is None else answer


def _compile(template: str, today: datetime) -> Any:
    """The template in the same sandbox, with the same extras, that transformers gives it."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    # transformers' tag around what the assistant says: it marks, and changes no text. Made by
    # `type`, since jinja2 has no types in every environment of ours.
    generation: Any = type(
        "Generation",
        (Extension,),
        {"tags": {"generation"}, "parse": _parse_generation},
    )
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[loopcontrols, generation],
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: today.strftime(form)
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise InputError(
            f"chat template: {error}: correct the template in the model's folder"
        ) from None


def _parse_generation(_: Any, parser: Any) -> Any:
    from jinja2.nodes import Scope

    line = next(parser.stream).lineno
    return Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True), lineno=line)
