"""The fused layers give PEFT's numbers, follow the optimiser, step aside when asked, and save
what they promise.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode

from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.corpora import trace
from trainer.data.examples import Encoder, Example
from trainer.layers.fused_lora import fuse, fuse_linear_maps
from trainer.layers.loss import hidden_states, loss_sum
from trainer.layers.packed_attention import ATTENTION, register_attention
from trainer.layers.packing import PackedBatch, pack_examples


@pytest.fixture(scope="module")
def batch(tokenizer: Any) -> PackedBatch:
    encoder = Encoder(tokenizer, ChatRenderer.of(tokenizer), 512)
    return pack_examples(
        [e for e in encoder.encode([trace(i) for i in range(4)]) if isinstance(e, Example)]
    )


def adapted(fused: bool, *, checkpointing: bool = False, r: int = 8, dropout: float = 0.0) -> Any:
    """A tiny model with adapters that say something, trained from here on."""
    register_attention()
    model = tiny_models.model()
    model.set_attn_implementation(ATTENTION)
    torch.manual_seed(3)
    lora = LoraConfig(
        r=r,
        lora_alpha=3 * r,
        target_modules="all-linear",
        lora_dropout=dropout,
        init_lora_weights=False,
    )
    model = get_peft_model(model, lora)
    if fused:
        fuse(model, gpu=False)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def step(model: Any, batch: PackedBatch) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and adapter gradients, then a step of training's optimiser, which leaves tensors'
    versions alone.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(parameters.values(), lr=1e-2, fused=True)
    loss = loss_sum(model, batch)
    loss.backward()
    slopes = {name: p.grad.clone() for name, p in parameters.items()}
    optimiser.step()
    optimiser.zero_grad()
    return loss.item(), slopes


@pytest.mark.parametrize("checkpointing", [False, True])
def test_losses_and_gradients_are_those_of_peft_also_after_the_optimiser_moved(
    batch: PackedBatch, checkpointing: bool
) -> None:
    plain = adapted(False)
    fused_model = adapted(True, checkpointing=checkpointing)
    for _ in range(3):
        (loss, slopes) = step(plain, batch)
        (fused_loss, fused_slopes) = step(fused_model, batch)
        assert fused_loss == pytest.approx(loss, rel=1e-5)
        for name, slope in slopes.items():
            assert (fused_slopes[name] - slope).norm() <= 2e-4 * slope.norm(), name


def test_bfloat16_is_as_near_to_float32_as_peft_is(batch: PackedBatch) -> None:
    exact, slopes = step(adapted(False), batch)
    errors = []
    for is_fused in (False, True):
        model = adapted(False)
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
        if is_fused:
            fuse(model, gpu=False)
        with torch.autocast("cpu", torch.bfloat16):
            loss, gradients = step(model, batch)
        assert loss == pytest.approx(exact, rel=2e-3)
        errors.append(
            sum(float((gradients[n] - s).norm() / s.norm()) for n, s in slopes.items())
            / len(slopes)
        )
    assert errors[1] < 1.2 * errors[0]


def what_a_first_update_changes(
    batch: PackedBatch, dtype: torch.dtype, way: Callable[[Any], None]
) -> torch.Tensor:
    """[T, H] float32: the hidden states with B = +-1e-4, less those of adapters that are new."""
    register_attention()
    made = tiny_models.model(hidden=128).to(torch.bfloat16).to(dtype)
    made.set_attn_implementation(ATTENTION)
    torch.manual_seed(3)
    model = get_peft_model(made, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
    way(model)
    in_bfloat16 = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.no_grad(), in_bfloat16:
        before = hidden_states(model, batch).float()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(1e-4 * torch.randn(parameter.shape).sign())
        return hidden_states(model, batch).float() - before


@pytest.mark.parametrize("way", [partial(fuse, gpu=False), fuse_linear_maps], ids=["whole", "one"])
def test_a_first_small_update_is_not_swallowed_by_bfloat16(
    batch: PackedBatch, way: Callable[[Any], None]
) -> None:
    exact = what_a_first_update_changes(batch, torch.float32, lambda model: None)
    rounded = what_a_first_update_changes(batch, torch.bfloat16, way)
    share = (rounded * exact).sum() / (exact * exact).sum()
    assert share == pytest.approx(1.0, abs=0.15)  # PEFT's own layers: not one number changes


def test_an_adapter_that_is_off_or_merged_leaves_the_base_or_the_merged_model(
    batch: PackedBatch,
) -> None:
    plain = adapted(False).eval()
    fused_model = adapted(True).eval()
    with torch.no_grad():
        with plain.disable_adapter(), fused_model.disable_adapter():
            assert loss_sum(fused_model, batch).item() == pytest.approx(
                loss_sum(plain, batch).item(), rel=1e-6
            )
        adapted_loss = loss_sum(plain, batch).item()
        assert loss_sum(fused_model, batch).item() == pytest.approx(adapted_loss, rel=1e-5)
        fused_model.merge_adapter()
        assert loss_sum(fused_model, batch).item() == pytest.approx(adapted_loss, rel=1e-4)
        fused_model.unmerge_adapter()
        merged_model = fused_model.merge_and_unload()
        reference = plain.merge_and_unload()
        for name, weight in reference.state_dict().items():
            torch.testing.assert_close(
                merged_model.state_dict()[name].contiguous(), weight, rtol=1e-4, atol=1e-6
            )


def test_layers_with_dropout_keep_their_own_way() -> None:
    model = adapted(False, dropout=0.1)
    fuse(model, gpu=False)
    assert all("forward" not in vars(module) for module in model.modules())


def test_what_is_saved_is_the_same(batch: PackedBatch, tmp_path: Any) -> None:
    plain = adapted(False)
    fused_model = adapted(True)
    for name, model in (("plain", plain), ("fused", fused_model)):
        model.save_pretrained(tmp_path / name)
    assert (tmp_path / "plain/adapter_model.safetensors").read_bytes() == (
        tmp_path / "fused/adapter_model.safetensors"
    ).read_bytes()


def test_a_checkpointed_layer_does_not_compute_its_last_product_again(batch: PackedBatch) -> None:
    counts: Counter[str] = Counter()
    model = adapted(True, checkpointing=True)
    inner = model.config.intermediate_size

    class Count(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Products from the MLP's width to the model's.
            if (
                "addmm_" in str(function)
                and args[1].shape[1] == inner
                and args[2].shape[1] == model.config.hidden_size
            ):
                counts[str(function)] += 1
            return function(*args, **(kwargs or {}))

    loss_sum(model, batch).backward()
    with Count():
        loss = loss_sum(model, batch)
        assert sum(counts.values()) == model.config.num_hidden_layers
        loss.backward()
    assert sum(counts.values()) == model.config.num_hidden_layers
