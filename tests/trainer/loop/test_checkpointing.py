"""Activations that are to be computed again are."""

from array import array
from pathlib import Path

import pytest
from torch.utils.hooks import RemovableHandle

from trainer.config import TrainerConfig
from trainer.data.examples import Example
from trainer.layers.backends import Setup, open_backend
from trainer.loop.step import MicroBatch, StepTrainer
from trainer.loop.training_arguments import training_arguments


def example(length: int, prompt_length: int) -> Example:
    return Example("0", "0", "made", 0, array("i", range(5, 5 + length)), prompt_length)


@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_step_of_an_adapter_runs_each_layers_attention_twice_with_checkpointing(
    tmp_path: Path, model_folder: Path, checkpointing: bool
) -> None:
    config = TrainerConfig.model_validate(
        {
            "run": str(tmp_path / "run"),
            "model": str(model_folder),
            "corpora": ["none"],
            "backend": "trl",
            "method": "lora",
            "train": {"max_length": 64, "max_steps": 1, "batch": 2},
        }
    )
    setup = Setup("fp32", checkpointing, compile=False, device="cpu")
    model = open_backend(config).load_model(config, setup)
    calls: list[str] = []
    handles: list[RemovableHandle] = [
        layer.self_attn.register_forward_hook(lambda *_: calls.append("attention"))
        for layer in model.get_base_model().get_decoder().layers
    ]
    trainer = StepTrainer(
        examples=[example(20, 8), example(11, 4)],
        data_order=[0, 1],
        micro=MicroBatch(1 << 40, 64),
        longest=64,
        autocast=False,
        state=dict,
        saved=lambda _: None,
        say=print,
        model=model,
        args=training_arguments(config, 1e-4, "cpu"),
    )
    trainer.args.save_strategy = "no"
    trainer.train()
    assert len(calls) == len(handles) * (2 if checkpointing else 1)
