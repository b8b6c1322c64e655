"""The configuration of a corpus' last run, as CORPUS/config.json holds it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from generator.config import GeneratorConfig
from shared.chat_api.redaction import Address
from shared.file_writing import write_atomically

FILE = "config.json"


def write_config(corpus: Path, config: GeneratorConfig) -> None:
    """Write it down, without secrets. Errors: `CannotWrite`."""
    text = orjson.dumps(without_secrets(config), option=orjson.OPT_INDENT_2)
    write_atomically(corpus / FILE, text)


def without_secrets(config: GeneratorConfig) -> dict[str, Any]:
    """The configuration as JSON-ready data, every default filled in."""
    tree = config.model_dump(mode="json")
    for lane in tree["lane"]:
        lane["base_url"] = Address.of(lane["base_url"]).url
    return tree


def accounts(corpus: Path) -> Callable[[str], str]:
    """The account of each lane of a corpus' last run; a lane that is not in it is its own."""
    try:
        lanes = orjson.loads((corpus / FILE).read_bytes())["lane"]
        account_of = {lane["name"]: lane["account"] or lane["name"] for lane in lanes}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        account_of = {}
    return lambda lane: account_of.get(lane, lane)
