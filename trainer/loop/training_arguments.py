"""A configuration as TRL's arguments. What TRL would do to the data, and much of what it would do
around a step, is switched off: examples are made, checked and cut by us.
"""

from pathlib import Path
from typing import Any

from trl import SFTConfig  # type: ignore[attr-defined]

from trainer.config import TrainerConfig

DONE_BY_US: dict[str, Any] = {
    "bf16": False,  # precision is set around the loss alone (`StepTrainer.precision`)
    "fp16": False,
    "gradient_checkpointing": False,  # the backend has set it on the model
    "max_length": None,
    "packing": False,
    "padding_free": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "remove_unused_columns": False,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
    "logging_strategy": "no",  # `callback` logs, so that a resumed run logs the same lines
    # It looks at every loss, for which the host would wait; a loss that is no number shows in the
    # lines that `callback` logs.
    "logging_nan_inf_filter": False,
    "save_total_limit": None,  # `checkpoints.drop_old` knows which are whole
    "eval_strategy": "no",
    "log_level_replica": "error",
    "disable_tqdm": True,
    "loss_type": "nll",
    "average_tokens_across_devices": False,
}


def training_arguments(
    config: TrainerConfig, rate: float, device: str, steps: int = 0
) -> SFTConfig:
    """TRL's arguments.

    `rate`: the learning rate. `device`: "cuda", "cpu" or "mps". `steps`: as planned, never more
    than the data has, which the Trainer would begin again; 0: as configured.
    """
    train = config.train
    arguments = SFTConfig(
        output_dir=str(Path(config.run) / "checkpoints"),
        # of all processes together (`StepTrainer.get_train_dataloader`)
        per_device_train_batch_size=train.batch,
        gradient_accumulation_steps=1,
        num_train_epochs=1,  # the data order spans all epochs
        max_steps=steps or train.max_steps or -1,
        learning_rate=rate,
        lr_scheduler_type=(
            "constant_with_warmup" if train.schedule == "constant" else train.schedule
        ),
        warmup_steps=train.warmup,  # below 1: a share of the steps
        weight_decay=train.weight_decay,
        adam_beta2=train.adam_beta2,
        max_grad_norm=train.max_grad_norm,
        optim="adamw_torch_fused" if device != "mps" else "adamw_torch",
        save_strategy="steps",
        save_steps=train.save_steps,
        report_to=list(config.track.to),
        run_name=Path(config.run).name,
        project=config.track.project,  # trackio's
        seed=train.seed,
        use_cpu=device == "cpu",
        **DONE_BY_US,
    )
    # One process a GPU (accelerate launch); never DataParallel by stealth.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
