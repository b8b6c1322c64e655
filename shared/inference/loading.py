"""A model or a tokenizer from a folder or the hub, whole or refused in one line.

transformers makes up the weights that a folder lacks and goes on; a damaged folder makes it and its
parsers raise a dozen kinds of errors. Libraries are imported inside functions, since Unsloth must
come before transformers where it is used (`trainer.layers.backends`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import InputError, Stopped
from shared.hubs.modelscope import model_folder

if TYPE_CHECKING:
    import torch

_PICKLES = ("*model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def load_tokenizer(model: str | Path) -> Any:
    """The tokenizer of a model folder or hub name. Errors: `InputError`."""
    import transformers
    from transformers import AutoTokenizer

    # We say what matters ourselves; the libraries' progress bars and advice would bury it.
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return from_pretrained(AutoTokenizer.from_pretrained, model)


def load_model(
    model: str | Path,
    device: "torch.device | None" = None,
    dtype: "torch.dtype | None" = None,
    **options: Any,
) -> Any:
    """A causal language model that answers, all of whose weights were in its files.

    `device` and `dtype` default to this machine's (`default_device`, `default_dtype`); `options`
    go to `from_pretrained`. Errors: `InputError`.
    """
    import transformers
    from transformers import AutoModelForCausalLM

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = device or default_device()
    dtype = dtype or default_dtype(device)
    causal_lm = load_whole_model(
        AutoModelForCausalLM.from_pretrained,
        model,
        dtype=dtype,
        **options,
    )
    return causal_lm.to(device).eval()


def load_whole_model(load: Callable[..., Any], model: str | Path, **options: Any) -> Any:
    """`load`'s model (a `from_pretrained`), refused where weights were in none of its files."""
    whole_model, loading_info = from_pretrained(
        load,
        model,
        output_loading_info=True,
        use_safetensors=True,
        **options,
    )
    missing_weights = sorted(loading_info["missing_keys"])
    if missing_weights:
        raise InputError(
            f"model {model}: {len(missing_weights)} of its weights are in none of its files"
            f" ({missing_weights[0]} for one): copy or download the folder again"
        )
    return whole_model


def from_pretrained(load: Callable[..., Any], model: str | Path, **options: Any) -> Any:
    """What `load` makes of a model folder or hub name. Errors: `InputError`, with the cause.

    Code that comes with a model is never run: not its own Python (`trust_remote_code`), and not
    what a pickle holds.
    """
    import torch

    folder = model_folder(model)
    refuse_pickles(Path(folder))
    try:
        return load(str(folder), trust_remote_code=False, **options)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # too small a card is no damaged folder
    except Stopped:
        raise  # a signal that came meanwhile
    except Exception as error:  # a damaged folder makes the libraries raise a dozen kinds
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        remedy = "copy or download the folder again"
        if not Path(model).is_dir():
            remedy = "give a folder, or check the network (HF_ENDPOINT=… a mirror, HUB=modelscope)"
        raise InputError(f"model {model}: cannot be loaded ({cause}): {remedy}") from None


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder whose weights are pickles alone: who reads one runs what its writer wrote.
    Errors: `InputError`.
    """
    if not folder.is_dir() or next(folder.glob("*.safetensors"), None) is not None:
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InputError(
            f"model {folder}: its weights are pickles ({pickles[0]}), which can run code of whoever"
            " wrote them: take the .safetensors of the same model, or convert them where you trust"
            " them"
        )


def default_device() -> "torch.device":
    """The first NVIDIA GPU, else the CPU."""
    import torch

    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def default_dtype(device: "torch.device") -> "torch.dtype":
    """bfloat16 on a GPU that knows it, float16 on an older one, float32 on a CPU."""
    import torch

    if device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16


def prompt_token_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The tokens of a rendered prompt. Errors: `InputError` where the tokenizer makes none.

    The chat template has written every special token itself, so none is added.
    """
    token_ids: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if not token_ids:
        raise InputError(
            f"model {tokenizer.name_or_path}: its tokenizer makes no tokens of a question: copy"
            " tokenizer.json again"
        )
    return token_ids
