"""`push RUN hf:OWNER/NAME | modelscope:OWNER/NAME`: what a run made, as one repository with a card.

The merged model stands at the root, so that its name alone loads it; the adapter in `adapter/`, GGUF
files beside. A run without a merged model has its adapter at the root.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.hubs import HUBS, push_folder
from trainer.artifacts.manifest import read_manifest
from trainer.artifacts.model_card import card_text

EVALUATION = Path("evaluation")  # of a run, where the shipped configurations put it


def push(
    run: Path,
    destination: str,
    say: Callable[[str], None],
    *,
    private: bool = True,
    licence: str = "other",
    evaluation: Path | None = None,
) -> int:
    """Push a run's weights and their card; the exit code. Errors: `InputError`."""
    if not destination.startswith(HUBS) or destination.partition(":")[2].count("/") != 1:
        raise InputError(f"{destination}: write hf:OWNER/NAME or modelscope:OWNER/NAME")
    manifest = read_manifest(run)
    if manifest is None:
        raise InputError(f"{run}: not a run's folder (no manifest.json)")
    proof = manifest.get("merge")
    if proof and not proof["holds"]:
        raise InputError(f"{run}: its merged model is not the trained one: run `merge` again first")
    comparison = read_comparison(evaluation or run / EVALUATION, asked_for=evaluation is not None)
    card = card_text(manifest, comparison, licence)
    with tempfile.TemporaryDirectory(prefix="stillhouse-push-") as place:
        folder = Path(place)
        stage(run, folder, card)
        file_count = sum(1 for path in folder.rglob("*") if path.is_file())
        say(f"{destination}: pushing {file_count} files")
        hub, _, repository = destination.partition(":")
        say(push_folder(hub, folder, repository, "model", private, licence))
    return 0


def stage(run: Path, folder: Path, card: str) -> None:
    """Lay out the repository in `folder`, by links to the run's files. Errors: `InputError` where
    the run has no weights yet.
    """
    merged_folder = run / "merged"
    adapter = run / "adapter"
    root = merged_folder if (merged_folder / "config.json").is_file() else adapter
    if not any(root.glob("*.safetensors")):
        raise InputError(f"{run}: no weights in merged/ or adapter/: let the training end first")
    _link(root, folder)
    if root is merged_folder and adapter.is_dir():
        _link(adapter, folder / "adapter")
    for file in run.glob("model-*.gguf"):
        (folder / file.name).symlink_to(file.resolve())
    (folder / "manifest.json").symlink_to((run / "manifest.json").resolve())
    (folder / "README.md").write_text(card, encoding="utf-8")


def read_comparison(folder: Path, *, asked_for: bool) -> Mapping[str, Any] | None:
    """An evaluation's comparison.json; None where there is none. Errors: `InputError` where it was
    asked for, or cannot be read.
    """
    file = folder / "comparison.json"
    if not file.exists() and not asked_for:
        return None
    try:
        comparison: dict[str, Any] = json.loads(file.read_bytes())
        comparison["benchmarks"].items()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}: give an evaluation's folder") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise InputError(
            f"{file}: no comparison of an evaluation: run `evaluation report`"
        ) from None
    return comparison


def _link(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name != "README.md":
            (target / file.name).symlink_to(file.resolve())
