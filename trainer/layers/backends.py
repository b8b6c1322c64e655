"""Two ways to load a model for training, one interface: `unsloth` (NVIDIA GPU) and `trl` (any GPU,
or none).

Both give a causal language model with adapters, whose loss `loss.loss_sum` takes: same examples,
masks and steps.

Order of imports: Unsloth patches trl, transformers and peft, so it must come before them, and it
refuses to be imported without a GPU. `open_backend` is therefore the first thing that a run calls,
and no module of ours imports those libraries at its top before that.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.errors import InputError
from shared.hubs.modelscope import model_folder, modelscope_name
from shared.inference.context_length import extend_context
from shared.inference.loading import (
    from_pretrained,
    load_model,
    load_whole_model,
    refuse_pickles,
)
from trainer.config import TrainerConfig

RopeScaling = tuple[str, int]  # kind, and the positions that are asked for
BackendName = Literal["unsloth", "trl"]

# Keys by which a plan knows the model's shape.
NEEDED_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a backend has to know of the plan to load a model."""

    dtype: Literal["bf16", "fp32"]
    checkpointing: bool
    compile: bool
    device: str  # "cuda:0", "cpu", "mps"
    sharded: bool = False  # weights in shards over all processes (FSDP2)
    weights: Path | None = None  # a full fine-tune's checkpoint, whose weights it goes on with


@dataclass(frozen=True, slots=True)
class Backend:
    """A name and the one thing that differs: loading a model with its adapters."""

    name: BackendName
    load_model: Callable[[TrainerConfig, Setup], Any]


def open_backend(config: TrainerConfig, processes: int = 1) -> Backend:
    """Choose the backend and import what it needs in the right order. `processes`: of the run,
    one a card. Errors: `InputError` where it cannot run here.
    """
    import torch

    choice = config.backend
    gpu = torch.cuda.is_available() and torch.version.hip is None
    has_unsloth = importlib.util.find_spec("unsloth") is not None
    if config.method == "qlora" and not gpu:
        raise InputError('method = "qlora": 4-bit weights need an NVIDIA GPU; set method = "lora"')
    if choice == "unsloth" and processes > 1:
        raise InputError(
            f'backend = "unsloth": one process, and this run has {processes}: set backend = "auto"'
            ' or "trl", which share each step between the cards'
        )
    if choice == "unsloth" and not gpu:
        raise InputError(
            'backend = "unsloth": Unsloth needs an NVIDIA GPU; set backend = "auto" or "trl"'
        )
    if choice == "unsloth" and not has_unsloth:
        raise InputError(
            'backend = "unsloth": not installed here; `make setup-trainer` adds it where there is'
            " a GPU"
        )
    # With 16-bit weights our own layers were faster: on an H100 in one run 27,900 tokens/s against
    # 5,000, and by the time of the GPU alone 460 ms a step against 569
    # (docs/experiments/trainer.md). 4-bit weights are Unsloth's.
    best_with_unsloth = gpu and has_unsloth and config.method == "qlora" and processes == 1
    if choice == "unsloth" or (choice == "auto" and best_with_unsloth):
        import unsloth  # noqa: F401  # first of all: it patches the others

        return Backend("unsloth", _load_unsloth)
    return Backend("trl", _load_trl)


def check_model(model: str) -> None:
    """Refuse a local model folder that is no model folder, before anything is imported. Hub
    names pass.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"model {model}: the folder has no config.json: give a folder saved by"
                " save_pretrained"
            )
    elif modelscope_name(model):
        return
    elif model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(
            f"model {model}: no such folder, and a hub name is OWNER/NAME: correct the path"
        )


def load_config(model: str, rope_scaling: RopeScaling | None = None) -> Any:
    """The transformers configuration of a model's text part. Errors: `InputError`, also for what
    our attention does not know.
    """
    config = load_whole_config(model, rope_scaling).get_text_config()
    if getattr(config, "attn_logit_softcapping", None):
        raise InputError(
            f"model {model}: {config.model_type} caps the logits of its attention"
            " (attn_logit_softcapping), which training here lacks"
        )
    for name in NEEDED_KEYS:
        if not getattr(config, name, 0):
            raise InputError(
                f"model {model}: {config.model_type or 'this model'} has no {name} in its"
                " config.json: give a model of Llama's or Qwen's kind"
            )
    return config


def load_whole_config(model: str, rope_scaling: RopeScaling | None = None) -> Any:
    """A model's transformers configuration, its context extended where that is asked."""
    from transformers import AutoConfig

    config = from_pretrained(AutoConfig.from_pretrained, model)
    if rope_scaling:
        kind, length = rope_scaling
        extend_context(config.get_text_config(), kind, length, f"model {model}")
    return config


def load_adapted(
    base: str,
    adapter: Path,
    rope_scaling: RopeScaling | None = None,
    device: Any = None,
    dtype: Any = None,
) -> Any:
    """A base model with an adapter of ours that answers; `device` and `dtype` as `load_model` has
    them. Errors: `InputError`.
    """
    from peft import PeftModel

    options = {"config": load_whole_config(base, rope_scaling)} if rope_scaling else {}
    model = load_model(base, device, dtype, **options)
    return from_pretrained(
        lambda folder, **_: PeftModel.from_pretrained(model, folder), str(adapter)
    ).eval()


def _load_trl(config: TrainerConfig, setup: Setup) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.layers.fused_lora import fuse
    from trainer.layers.long_rope import rotate_by_own_length
    from trainer.layers.packed_attention import ATTENTION, register_attention

    register_attention()
    if setup.sharded:
        return _load_sharded(config, setup)
    options: dict[str, Any] = {"attn_implementation": ATTENTION, "dtype": _dtype(setup)}
    if config.rope_scaling:
        options["config"] = load_whole_config(config.model, config.rope_scaling)
    if config.method == "qlora":
        options["quantization_config"] = _four_bit()
        options["device_map"] = {"": setup.device}
    model = load_whole_model(AutoModelForCausalLM.from_pretrained, config.model, **options)
    if config.method != "qlora":
        model.to(setup.device)
    torch.manual_seed(config.train.seed)  # the adapters' first values
    if config.method == "full":
        model.float()  # masters in float32: bfloat16 would round small updates away
    else:
        model = _with_adapters(model, config)
    rotate_by_own_length(model)
    fuse(model, gpu=setup.device.startswith("cuda"))
    _set_checkpointing(model, setup)
    if setup.compile:
        for layer in _layers(model):
            layer.compile(dynamic=False)
    return model


def _load_sharded(config: TrainerConfig, setup: Setup) -> Any:
    """The model on the host, then its shards on the cards. The MLP's three maps go their shorter
    way one by one: together they hold copies of whole weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.layers.fused_lora import fuse_linear_maps, use_gpu_kernels
    from trainer.layers.long_rope import rotate_by_own_length
    from trainer.layers.packed_attention import ATTENTION
    from trainer.layers.sharding import loading_in_turns, shard

    full = config.method == "full"
    source = setup.weights or config.model
    # A checkpoint's masters are float32; in bfloat16 they would lose what was learnt.
    dtype = torch.float32 if setup.weights else _dtype(setup)
    options: dict[str, Any] = {"attn_implementation": ATTENTION, "dtype": dtype}
    if config.rope_scaling and not setup.weights:
        options["config"] = load_whole_config(config.model, config.rope_scaling)
    with loading_in_turns(_weight_bytes(str(source))):
        model = load_whole_model(AutoModelForCausalLM.from_pretrained, source, **options)
        torch.manual_seed(config.train.seed)  # the adapters' first values
        if not full:
            model = _with_adapters(model, config)
        rotate_by_own_length(model)
        use_gpu_kernels(model, gpu=setup.device.startswith("cuda"))
        _set_checkpointing(model, setup)
        shard(model, full=full, dtype=_dtype(setup), device=torch.device(setup.device))
    fuse_linear_maps(model)  # after it: copies of the adapters stand where these now are
    return model


def _weight_bytes(source: str) -> int:
    """Of the weights' files in a folder, or in the hub's cache once they are there; 0: not known."""
    return sum(file.stat().st_size for file in Path(source).glob("*.safetensors"))


def _set_checkpointing(model: Any, setup: Setup) -> None:
    if setup.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _with_adapters(model: Any, config: TrainerConfig) -> Any:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from peft.tuners.lora import LoraLayer

    if config.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    target = config.lora.target if isinstance(config.lora.target, str) else list(config.lora.target)
    lora = LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=target,
        exclude_modules=_outside_the_decoder(model) or None,
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(model, lora)
    except ValueError as error:
        raise InputError(f"lora.target {target}: {' '.join(str(error).split())[:160]}") from None
    for module in model.modules():
        if isinstance(module, LoraLayer):
            # Autocast casts where a kernel needs it; PEFT's own cast would make a float32 copy of
            # every input.
            module.cast_input_dtype_enabled = False
    return model


def _outside_the_decoder(model: Any) -> list[str]:
    """Linear maps of a model that sees or hears as well (Gemma-3): no text reaches them."""
    from torch import nn

    own = {id(module) for module in model.get_decoder().modules()}
    own.add(id(model.get_output_embeddings()))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in own
    ]


def _load_unsloth(config: TrainerConfig, setup: Setup) -> Any:
    os.environ.setdefault("UNSLOTH_RETURN_LOGITS", "0")
    from unsloth import FastLanguageModel

    folder = model_folder(config.model)
    refuse_pickles(Path(folder))
    model, _ = FastLanguageModel.from_pretrained(
        str(folder),
        trust_remote_code=False,
        max_seq_length=config.train.max_length,
        dtype=_dtype(setup),
        load_in_4bit=config.method == "qlora",
        full_finetuning=config.method == "full",
    )
    if config.method == "full":
        return model
    target = config.lora.target
    return FastLanguageModel.get_peft_model(
        model,
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        bias="none",
        target_modules=list(PROJECTIONS if target == "all-linear" else target),
        # Not "unsloth": that offloads activations to the host, which a model that fits has no need
        # to wait for.
        use_gradient_checkpointing=setup.checkpointing,
        random_state=config.train.seed,
    )


def _four_bit() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            'method = "qlora": bitsandbytes is not installed; `make setup-trainer` adds it with'
            " Unsloth"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )


def _dtype(setup: Setup) -> Any:
    import torch

    return torch.bfloat16 if setup.dtype == "bf16" else torch.float32


def _layers(model: Any) -> Any:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.get_decoder().layers
