"""ModelScope through its own small client: what is read comes as a folder, what is pushed leaves as
one.

The client keeps what it fetched under `MODELSCOPE_CACHE` and goes on with a file that was cut; without
a network the copy that is there is used. One token serves the models' API and the hub.
"""

import contextlib
import functools
import io
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from shared.errors import InputError, Stopped

PREFIX = "modelscope:"
HUB = "HUB"  # the environment variable that makes ModelScope the hub of every name
TOKENS = ("MODELSCOPE_SDK_TOKEN", "MODELSCOPE_API_TOKEN")  # the first that is set
TOKEN_ADVICE = f"set {TOKENS[0]}"
WEIGHTS = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]  # never pickles

RepositoryKind = Literal["model", "dataset"]

_NAME = re.compile(r"[\w.\-]+/[\w.\-]+(?::[\w.\-]+)?")


def on_modelscope(name: str) -> bool:
    """Whether a hub's name is meant for ModelScope. Errors: `InputError` for an unknown HUB."""
    hub = os.environ.get(HUB, "").lower()
    if hub not in ("", "modelscope", "huggingface"):
        raise InputError(f"{HUB}={hub}: set it to modelscope or huggingface")
    return name.startswith(PREFIX) or hub == "modelscope"


def modelscope_name(name: str) -> str:
    """OWNER/NAME[:SUBSET] where `name` is ModelScope's; "" for a path or another hub's.

    Errors: `InputError` for a name with the prefix that is no OWNER/NAME, and for an unknown HUB.
    """
    bare_name = name.removeprefix(PREFIX)
    if name.startswith(PREFIX):
        if not _NAME.fullmatch(bare_name):
            raise InputError(f"{name}: write {PREFIX}OWNER/NAME")
        return bare_name
    is_hub_name = _NAME.fullmatch(name) and not Path(name.partition(":")[0]).exists()
    if is_hub_name and on_modelscope(name):
        return name
    return ""


def model_folder(name: str | Path) -> str | Path:
    """A model's folder where it is ModelScope's, fetched once; any other name as it is. Errors:
    `InputError`.
    """
    repository = modelscope_name(str(name))
    if repository:
        return _fetched(repository, "model")
    return name


def data_set_folder(name: str) -> Path:
    """The files of a data set, or of its SUBSET; `name` is `modelscope_name`'s. Errors:
    `InputError`.
    """
    repository, _, subset = name.partition(":")
    folder = _fetched(repository, "dataset")
    if subset:
        return subset_folder(folder, subset)
    return folder


def data_set_name(folder: Path) -> str:
    """What a folder's data set is called: OWNER/NAME where the client keeps it, else the folder's
    own name.
    """
    place = folder.resolve()
    for parent in (place, *place.parents):
        if parent.parent.name == "snapshots":
            return parent.parent.parent.name.replace("--", "/", 1)
    return place.name


def subset_folder(folder: Path, subset: str) -> Path:
    """Where a subset's files are: its own folder, the files that the data set's card lists for it,
    or those that carry its name. Errors: `InputError`.
    """
    own_folder = folder / subset
    if own_folder.is_dir():
        return own_folder
    files = [file for pattern in _card_patterns(folder, subset) for file in folder.glob(pattern)]
    if not files:
        files = [file for file in folder.rglob("*") if _carries(file, subset)]
    if not files:
        raise InputError(
            f"{folder}: no files of a subset {subset!r}: correct the name behind the :"
        )
    if len(files) == 1:
        return files[0]
    links = folder.parent / f"{folder.name}-{subset}"
    links.mkdir(exist_ok=True)
    for file in files:
        link = links / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(file)
    return links


def push_folder(
    folder: Path,
    repository: str,
    kind: RepositoryKind,
    private: bool,
    licence: str,
) -> str:
    """Push a folder as one commit; the repository's address. Needs a token. Errors: `InputError`."""
    if not _token():
        raise InputError(f"{PREFIX}{repository}: {TOKEN_ADVICE} to a token that may write")
    visibility = "private" if private else "public"

    def push(api: Any) -> None:
        if not api.repo_exists(repository, kind):
            api.create_repo(repository, kind, visibility=visibility, license=licence)
        with contextlib.redirect_stdout(io.StringIO()):  # its report of a page
            api.upload_folder(
                repository,
                kind,
                folder,
                commit_message="From Stillhouse",
                ignore_patterns=[".*"],
                disable_tqdm=True,
                use_cache=False,
            )

    _guarded(repository, push)
    return f"https://modelscope.cn/{kind}s/{repository}"


@functools.cache
def _fetched(repository: str, kind: RepositoryKind) -> Path:
    def fetch(api: Any) -> Path:
        patterns = WEIGHTS if kind == "model" else None
        try:
            return Path(api.download_repo(repository, kind, allow_patterns=patterns))
        except ConnectionError:
            return Path(
                api.download_repo(repository, kind, allow_patterns=patterns, local_files_only=True)
            )

    folder: Path = _guarded(repository, fetch)
    return folder


def _guarded(repository: str, use: Callable[[Any], Any]) -> Any:
    """What `use` makes of the client, its errors as one line."""
    try:
        from modelscope_hub import HubApi
        from modelscope_hub.config import HubConfig
        from modelscope_hub.errors import HubError
    except ImportError as error:
        raise InputError(
            f"{PREFIX}{repository}: not without the package modelscope-hub ({error}): run make"
            " setup-generator, setup-trainer or setup-evaluation"
        ) from None
    logging.getLogger("modelscope_hub").setLevel(logging.WARNING)
    try:
        return use(HubApi(HubConfig(token=_token())))
    except Stopped:
        raise
    except (HubError, OSError, ValueError) as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{PREFIX}{repository}: {cause}: check OWNER/NAME, the network, and for a private one"
            f" {TOKENS[0]}"
        ) from None


def _token() -> str:
    return next((os.environ[name] for name in TOKENS if os.environ.get(name)), "")


def _card_patterns(folder: Path, subset: str) -> list[str]:
    """The files that the front matter of the data set's card lists for `subset`."""
    import yaml

    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        front_matter = yaml.safe_load(text.split("---", 2)[1])
    except (OSError, UnicodeDecodeError, IndexError, yaml.YAMLError):
        return []
    configs = front_matter.get("configs") if isinstance(front_matter, dict) else None
    for config in configs or []:
        if isinstance(config, dict) and config.get("config_name") == subset:
            return list(_paths(config.get("data_files")))
    return []


def _paths(data_files: Any) -> list[str]:
    """Of a card's `data_files`: a path, a list of them, or of `{split, path}`."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        return _paths(data_files.get("path"))
    if isinstance(data_files, list):
        return [path for entry in data_files for path in _paths(entry)]
    return []


def _carries(file: Path, subset: str) -> bool:
    """Whether a data file's name has the subset as one of its words."""
    words = re.split(r"[^A-Za-z0-9]+", file.name.lower())
    return file.is_file() and subset.lower() in words
