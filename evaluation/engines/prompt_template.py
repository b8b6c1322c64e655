"""With which chat template, of which day, the models of one evaluation are asked on this machine.

Two things must not differ between the models of a comparison, nor between today and tomorrow: the
date that some templates insert, and the template itself where a base model has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.rendering import ChatRenderer
from shared.template_date import frozen_date, has_date

DAY_FILE = "template_date.json"  # in the evaluation's folder


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """What a model's own template leaves open."""

    today: datetime
    template: str | None  # of a model of the same evaluation, for one that has none

    def renderer(
        self,
        tokenizer: Any,
        system: str | None,
        place: str,
        arguments: Mapping[str, Any],
    ) -> ChatRenderer:
        """The renderer of one model, its template given `arguments`. Errors: `InputError` where no
        model has a template.
        """
        if not tokenizer.chat_template and self.template:
            tokens = tokenizer.special_tokens_map
            return ChatRenderer(self.template, tokens, system, self.today, arguments)
        return ChatRenderer.of(tokenizer, system, place, self.today, arguments)


def prompt_template(folders: Sequence[Path], out: Path) -> PromptTemplate:
    """For the models in `folders`: the day that `out` began with, else the one that a model of them
    was trained with, else today; kept in `out`.
    """
    templates = [text for text in map(template_text, folders) if text]
    days = [day for day in map(frozen_date, templates) if day]
    today = _day_of(out) or next(iter(days), None) or datetime.now()
    if any(has_date(text) for text in templates):
        day = orjson.dumps({"date": today.date().isoformat()}, option=orjson.OPT_APPEND_NEWLINE)
        write_atomically(out / DAY_FILE, day)
    return PromptTemplate(today, templates[-1] if templates else None)


def template_text(folder: Path) -> str | None:
    """The chat template of a model folder, from where transformers looks for it."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    try:
        settings = orjson.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    template = settings.get("chat_template")
    if isinstance(template, list):  # several by name
        template = {each.get("name"): each.get("template") for each in template}.get("default")
    return template if isinstance(template, str) else None


def _day_of(out: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(orjson.loads((out / DAY_FILE).read_bytes())["date"])
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{out / DAY_FILE}: damaged ({error}): remove it") from None
