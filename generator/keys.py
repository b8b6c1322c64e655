"""The lanes' keys, and every other text that must stay secret. A key comes from an environment
variable and stands in no file.
"""

import os
from collections.abc import Mapping

from generator.config import GeneratorConfig, LaneConfig
from shared.chat_api.redaction import Address, database_secrets
from shared.errors import InputError


def key_of(lane: LaneConfig, environ: Mapping[str, str] = os.environ) -> str:
    """A lane's key, "" where it needs none. Errors: `InputError` names the variable that is
    empty.
    """
    variable = lane.api_key_env
    if not variable:
        return ""
    key = environ.get(variable, "").strip()
    if not key:
        raise InputError(
            f"lane {lane.name}: the environment variable {variable} is empty: export it with your"
            " key"
        )
    if key[0] in "\"'" or key[-1] in "\"'":
        raise InputError(
            f"lane {lane.name}: the key in {variable} has quotes around it: take them off"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            f"lane {lane.name}: {variable} holds no usable key (spaces or non-ASCII in it): copy it"
            " again"
        )
    return key


def secrets(config: GeneratorConfig, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every text that must reach no file and no output: keys, the server's token, passwords in
    addresses. Errors: as `key_of`.
    """
    texts = [key_of(lane, environ) for lane in config.lane]
    texts.append(environ.get(config.daemon.token_env, ""))
    for lane in config.lane:
        texts += Address.of(lane.base_url).secrets
    if config.budget.shared_env:
        texts += database_secrets(environ.get(config.budget.shared_env, "").strip())
    return [text for text in texts if text]
