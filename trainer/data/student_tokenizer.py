"""The student's tokenizer with the chat template that a run trains with: its own, or one by name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.inference.loading import load_tokenizer
from shared.rendering import ChatRenderer
from trainer.config import TrainerConfig
from trainer.data.named_templates import NAMED_TEMPLATES


def load_student_tokenizer(
    config: TrainerConfig, today: datetime | None = None
) -> tuple[Any, ChatRenderer]:
    """The tokenizer and its renderer. Errors: `InputError` where there is no template.

    The tokenizer's template is the renderer's, a date in it frozen at `today`, so that whatever is
    saved with it asks the model as it was trained.
    """
    tokenizer = load_tokenizer(config.model)
    if config.data.template:
        tokenizer.chat_template = NAMED_TEMPLATES[config.data.template]
    chat = ChatRenderer.of(tokenizer, config.system, f"model {config.model}", today)
    if isinstance(tokenizer.chat_template, Mapping):
        tokenizer.chat_template = {**tokenizer.chat_template, "default": chat.template}
    else:
        tokenizer.chat_template = chat.template
    return tokenizer, chat
