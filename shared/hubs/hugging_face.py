"""A folder as a repository of Hugging Face's hub: one commit."""

from pathlib import Path
from typing import Literal

from shared.errors import InputError, Stopped


def push_folder(
    folder: Path,
    repository: str,
    kind: Literal["model", "dataset"],
    private: bool,
) -> str:
    """Push a folder as one commit; the repository's address. Needs `HF_TOKEN` (or `hf auth
    login`); `HF_ENDPOINT` names a mirror. Errors: `InputError`.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=folder,
            commit_message="From Stillhouse",
        )
    except Stopped:
        raise
    except Exception as error:  # the client's errors, its transport's and ours have no ancestor
        cause = " ".join(str(error).split())[:240] or type(error).__name__
        raise InputError(
            f"hf:{repository}: {cause}: set HF_TOKEN to a token that may write, and check OWNER/NAME"
            " and the network"
        ) from None
    return str(url)
