"""A checkpoint from somebody else: what its pickles ask for is not done."""

import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from shared.errors import InputError
from trainer.loop.train import _hostile_pickles_refused


class Bomb:
    """What a hostile pickle does when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_checkpoint_whose_state_holds_code_is_one_line_and_the_code_is_not_run(
    tmp_path: Path,
) -> None:
    optimizer = tmp_path / "optimizer.pt"
    torch.save({"state": Bomb(tmp_path / "it-ran")}, optimizer)
    with (
        pytest.raises(InputError, match="its state is no plain numbers and is not read"),
        _hostile_pickles_refused(tmp_path),
    ):
        torch.load(optimizer, weights_only=True)
    assert not (tmp_path / "it-ran").exists()


def test_transformers_reads_every_state_of_a_checkpoint_as_numbers_only() -> None:
    source = inspect.getsource(transformers.Trainer)
    calls = re.findall(r"torch\.load\((.*?)\)\n", source, re.DOTALL)
    assert calls
    assert all("weights_only=True" in call for call in calls)
