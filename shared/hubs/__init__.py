"""Hubs of models and data sets beside Hugging Face's, whose own libraries read it.

    modelscope      a model or a data set of ModelScope as a folder on this disk; a folder as a repository
    hugging_face    a folder as a repository

`modelscope:OWNER/NAME` names ModelScope wherever a hub's name may stand. With `HUB=modelscope` in the
environment every name of a hub is ModelScope's.
"""

from pathlib import Path
from typing import Literal

from shared.hubs import hugging_face, modelscope

HUBS = ("hf:", modelscope.PREFIX)  # before OWNER/NAME, where something is pushed


def push_folder(
    hub: str,
    folder: Path,
    repository: str,
    kind: Literal["model", "dataset"],
    private: bool,
    licence: str,
) -> str:
    """Push a folder to "hf" or "modelscope"; the repository's address. Errors: `InputError`.

    ModelScope is told the licence; Hugging Face reads it from the card.
    """
    if hub == "hf":
        return hugging_face.push_folder(folder, repository, kind, private)
    return modelscope.push_folder(folder, repository, kind, private, licence)
