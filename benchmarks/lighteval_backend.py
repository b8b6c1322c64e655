"""lighteval's own transformers backend, as the evaluation's benchmark runs it."""

import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class ForcedLength:
    """Allows the end token at each row's place in the schedule and nowhere before it."""

    def __init__(self, lengths: list[int], prompt: int, end: int) -> None:
        self._lengths, self._prompt, self._end = torch.tensor(lengths), prompt, end

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        last = (self._lengths.to(scores.device) <= ids.shape[1] - self._prompt + 1)[:, None]
        scores[:, self._end] = -torch.inf
        only_end = torch.full_like(scores, -torch.inf)
        only_end[:, self._end] = 0
        return torch.where(last, only_end, scores)


def lighteval_model(folder: Path, new_tokens: int, batch: int, device: str) -> Any:
    _stand_in_for_inspect()
    from lighteval.models.model_input import GenerationParameters
    from lighteval.models.transformers.transformers_model import (
        TransformersModel,
        TransformersModelConfig,
    )

    TransformersModel.DATASET_SPLITS = 1
    config = TransformersModelConfig(
        model_name=str(folder),
        batch_size=batch,
        dtype="bfloat16" if device == "cuda" else "float32",
        device=device,
        cache_dir=tempfile.mkdtemp(),
        generation_parameters=GenerationParameters(max_new_tokens=new_tokens, temperature=0),
    )
    model = TransformersModel(config)
    model.model.to(device)
    model._device = torch.device(device)
    return model


class _Anything(ModuleType):
    """Any name of it, called or not, is itself."""

    __path__: list[str] = []  # noqa: RUF012 - a package, to the import system

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


def _stand_in_for_inspect() -> None:
    """lighteval imports inspect_ai for commands that are not run here; a machine without it needs no more than the names."""  # noqa: E501
    try:
        import inspect_ai.scorer  # noqa: F401
    except ImportError:
        for name in ("", ".dataset", ".scorer", ".solver", ".model", ".analysis", ".log", ".util"):
            sys.modules[f"inspect_ai{name}"] = _Anything(f"inspect_ai{name}")


def largest_batch(cap: int, vocabulary: int, device: str) -> int:
    """Rows whose scores of every step fit beside the model in 85% of the free memory, at most
    256.
    """
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else 1 << 30
    return max(1, min(256, int(0.85 * free - 8e9 * (device == "cuda")) // (cap * vocabulary * 4)))
