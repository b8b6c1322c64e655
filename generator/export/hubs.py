"""A finished data set folder to a hub: one commit with data, held-out problems and card."""

from pathlib import Path

from shared.errors import InputError


def push_to_hugging_face(folder: Path, repo: str, private: bool) -> str:
    """The data set's URL. Needs `HF_TOKEN` (or `hf auth login`). Errors: `InputError`."""
    # the hub's own errors are of this kind, and those of a network that is missing
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo, repo_type="dataset", folder_path=folder, commit_message="Traces"
        )
    except (HTTPError, OSError, ValueError) as error:
        raise InputError(
            _advice(f"hf:{repo}", error, "set HF_TOKEN to a token that may write")
        ) from None
    return str(url)


def push_to_modelscope(folder: Path, repo: str, private: bool) -> str:
    """The data set's name. Needs the modelscope package and `MODELSCOPE_API_TOKEN`. Errors:
    `InputError`.
    """
    try:
        from modelscope.hub.api import HubApi
    except ImportError:
        raise InputError(
            f"modelscope:{repo}: not without the modelscope package: run `.venv/generator/bin/pip"
            " install modelscope`"
        ) from None
    api = HubApi()
    try:
        api.create_repo(
            repo, repo_type="dataset", visibility="private" if private else "public", exist_ok=True
        )
        api.upload_folder(
            repo, folder_path=str(folder), repo_type="dataset", commit_message="Traces"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(_advice(f"modelscope:{repo}", error, "set MODELSCOPE_API_TOKEN")) from None
    return repo


def _advice(place: str, error: Exception, remedy: str) -> str:
    message = " ".join(str(error).split())[:240] or type(error).__name__
    return f"{place}: {message}: {remedy}, and check OWNER/NAME and the network"
