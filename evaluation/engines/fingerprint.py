"""Which model this is: by the bytes of its weights, not by its path."""

import hashlib
from pathlib import Path

from shared.errors import InputError

# What changes an answer: the weights, their shape, the tokenizer with its template, the end tokens.
_WEIGHTS = ("*.safetensors", "*.bin")
_SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "chat_template*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
)


def fingerprint(folder: Path) -> str:
    """16 hex digits over names and contents of a model folder's weights and settings. Reads
    every byte. Errors: as `weight_files`.
    """
    digest = hashlib.sha256()
    for path in sorted({*weight_files(folder), *_found(folder, _SETTINGS)}):
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {part}\n".encode())
    return digest.hexdigest()[:16]


def weight_files(folder: Path) -> list[Path]:
    """The files of a whole model's weights. Errors: `InputError` where there is none."""
    weights = _found(folder, _WEIGHTS)
    if not weights:
        adapter = (folder / "adapter_config.json").exists()
        remedy = (
            "merge the adapter first (python -m trainer merge)"
            if adapter
            else "give a folder with *.safetensors"
        )
        raise InputError(f"{folder}: no weights here: {remedy}")
    if any(path.name.startswith("adapter_model") for path in weights):
        raise InputError(
            f"{folder}: an adapter, not a whole model: merge it first (python -m trainer merge)"
        )
    return weights


def _found(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
