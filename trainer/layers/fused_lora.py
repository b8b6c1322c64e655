"""The layers of a LoRA model in fewer passes over memory: the sums of PEFT and transformers, in
fewer kernels.

What slows a LoRA step down is not its large products but what lies between them. For y = W x + s B
A x PEFT writes four tensors of y's size, and autograd adds up two of x's. Here the adapter rides in
the large products themselves (T tokens, s = alpha / r):

    gate, up     [x | s x A'] [W | B]'       one product for base and adapter; both projections share [x | s x A']
    down         its gradient likewise: [dy | dy B] [W ; s A]
    q, k, v, o   y = x W';  y += (s x A') B' the second product adds into the first

For that, the frozen weights of gate, up and down live in a slightly wider matrix that has room for
the adapter. What the optimiser moves stays where PEFT keeps it, in float32; before each forward
pass it is copied to where it is used.

On an NVIDIA GPU with Liger's kernels installed, RMSNorm, SiLU x up and the rotary embedding take
one kernel each. Nothing here is needed to be right: without it the same loss comes out, slower
(tests/trainer/layers/test_fused_lora.py).
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Gated = Callable[[Tensor, Tensor], Tensor]
MLP = ("gate_proj", "up_proj", "down_proj")
SILU = ("SiLU", "SiLUActivation")


def fuse(model: Any, *, gpu: bool) -> None:
    """Give the layers of `model` (with or without adapters) their shorter way. In place; saved
    weights do not change.

    Layers that are not what is expected (4-bit weights, dropout, DoRA, another activation) keep
    their own way.
    """
    liger = gpu and all(importlib.util.find_spec(name) for name in ("liger_kernel", "triton"))
    gated: Gated = _silu_and_times
    if liger:
        from liger_kernel.ops import LigerSiLUMulFunction

        gated = LigerSiLUMulFunction.apply
    plain = [module for module in model.modules() if _is_plain_lora(module)]
    mlps = [module for module in model.modules() if _is_gated_mlp(module)]
    inside = {id(getattr(mlp, name)) for mlp in mlps for name in MLP}
    fused = [_Linear(module) for module in plain if id(module) not in inside]
    copies = _Copies([linear.adapter for linear in fused], [_Mlp(module, gated) for module in mlps])
    if plain:
        model.get_base_model().get_decoder().register_forward_pre_hook(lambda *_: copies.refresh())
    if liger:
        _use_liger(model)


@dataclass(slots=True)
class _Adapter:
    """One adapter of a PEFT layer: float32 masters, and where their copies in the precision of
    the products stand.
    """

    module: Any  # peft's lora.Linear
    name: str
    scale: float
    a: Tensor  # s A [r, in]
    b: Tensor  # B [out, r]

    @classmethod
    def of(cls, module: Any, a: Tensor | None = None, b: Tensor | None = None) -> "_Adapter":
        (name,) = module.active_adapters
        dtype = module.base_layer.weight.dtype
        masters = module.lora_A[name].weight, module.lora_B[name].weight
        a, b = (
            torch.empty_like(m, dtype=dtype) if t is None else t
            for m, t in zip(masters, (a, b), strict=True)
        )
        return cls(module, name, float(module.scaling[name]), a.detach(), b.detach())

    @property
    def masters(self) -> tuple[Tensor, Tensor]:
        return self.module.lora_A[self.name].weight, self.module.lora_B[self.name].weight

    def rests(self, x: Tensor) -> bool:
        """Is this not the moment: the adapter is off or merged, or autocast would change the
        precision halfway.
        """
        off = self.module.disable_adapters or self.module.merged
        full = self.module.base_layer.weight.dtype == torch.float32
        return bool(off) or (full and torch.is_autocast_enabled(x.device.type))


class _Copies:
    """All adapters of a model, to be copied in a few kernels.

    Before every forward pass, whether or not they moved: a tensor's version does not tell
    (PyTorch's fused AdamW moves weights and leaves it as it was), and nothing may train on an
    adapter of yesterday.
    """

    def __init__(self, alone: "list[_Adapter]", mlps: "list[_Mlp]") -> None:
        self._adapters = [*alone, *(adapter for mlp in mlps for adapter in mlp.adapters)]

    @torch.no_grad()
    def refresh(self) -> None:
        dense: tuple[list[Tensor], list[Tensor]] = ([], [])
        scaled = torch._foreach_mul(
            [adapter.masters[0] for adapter in self._adapters],
            [adapter.scale for adapter in self._adapters],
        )
        for adapter, a in zip(self._adapters, scaled, strict=True):
            for copy, master in ((adapter.a, a), (adapter.b, adapter.masters[1])):
                if copy.is_contiguous():
                    dense[0].append(copy)
                    dense[1].append(master)
                else:
                    copy.copy_(
                        master
                    )  # a few columns of a wide matrix; one such would slow down all the others
        torch._foreach_copy_(*dense)


class _Linear:
    """A LoRA layer on its own: q, k, v, o."""

    def __init__(self, module: Any) -> None:
        self.adapter, self.module = _Adapter.of(module), module
        module.forward = self

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base, adapter = self.module.base_layer, self.adapter
        if args or kwargs or adapter.rests(x):
            plain: Tensor = type(self.module).forward(self.module, x, *args, **kwargs)
            return plain
        flat = x.reshape(-1, x.shape[-1]).to(base.weight.dtype)
        out: Tensor = _LoraLinear.apply(flat, base, adapter, *adapter.masters)
        return out.view(*x.shape[:-1], -1)


class _LoraLinear(torch.autograd.Function):  # type: ignore[misc]
    """[T, in] -> [T, out]: x W' + bias + s (x A') B'."""

    @staticmethod
    def forward(context: Any, x: Tensor, base: Any, adapter: _Adapter, *_: Tensor) -> Tensor:
        down = x @ adapter.a.T
        out = functional.linear(x, base.weight, base.bias).addmm_(down, adapter.b.T)
        context.save_for_backward(x, down)
        context.base, context.adapter = base, adapter
        return out

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor]:
        (slope,), (x, down), adapter = slopes, context.saved_tensors, context.adapter
        through = slope @ adapter.b
        to_x = None
        if context.needs_input_grad[0]:
            to_x = (slope @ context.base.weight).addmm_(through, adapter.a)
        a, b = adapter.masters
        to_a = _product(through.T, x, a.dtype).mul_(adapter.scale)
        return to_x, None, None, to_a, _product(slope.T, down, b.dtype)


class _Mlp:
    """down(act(gate(x)) * up(x)) with an adapter on each of the three."""

    def __init__(self, module: Any, gated: Gated) -> None:
        self.module, self.gated = module, gated
        parts = [getattr(module, name) for name in MLP]
        ranks = [part.lora_A[part.active_adapters[0]].weight.shape[0] for part in parts]
        self.inputs, self.rank = parts[0].base_layer.weight.shape[1], ranks[0]
        self.wide_gate, self.wide_up = (
            _widen(part.base_layer.weight, ranks[0] + ranks[1]) for part in parts[:2]
        )
        self.tall_down = _heighten(parts[2].base_layer.weight, ranks[2])
        middle = self.inputs + self.rank
        self.adapters = gate, up, down = (
            _Adapter.of(parts[0], b=self.wide_gate[:, self.inputs : middle]),
            _Adapter.of(parts[1], b=self.wide_up[:, middle:]),
            _Adapter.of(parts[2], a=self.tall_down[-ranks[2] :]),
        )
        self.gate, self.up, self.down = gate, up, down
        module.forward = self

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        if any(adapter.rests(x) for adapter in self.adapters):
            plain: Tensor = type(module).forward(module, x)
            return plain
        flat = x.reshape(-1, x.shape[-1]).to(self.wide_gate.dtype)
        gate, up = _GateUp.apply(flat, self, *self.gate.masters, *self.up.masters)
        inner = self.gated(gate, up)
        # The adapter first, the large product last. PyTorch stops computing a checkpointed layer
        # again once all that its backward pass saved is there: then this product, which saves
        # nothing, is never begun a second time.
        a, b = self.down.masters
        low = inner.detach() @ (a * self.down.scale).to(inner.dtype).T
        beside = functional.linear(low, b.to(inner.dtype), module.down_proj.base_layer.bias)
        out: Tensor = _Down.apply(inner, beside, self)
        return out.view(*x.shape[:-1], -1)


def _widen(weight: Tensor, ranks: int) -> Tensor:
    """[W | room for adapters]: [out, in + ranks]; the weight becomes a view of it."""
    wide = weight.new_zeros(weight.shape[0], weight.shape[1] + ranks)
    wide[:, : weight.shape[1]] = weight.detach()
    weight.data = wide[:, : weight.shape[1]]
    return wide


def _heighten(weight: Tensor, rank: int) -> Tensor:
    """[W ; room for an adapter]: [out + rank, in]; the weight becomes a view of it."""
    tall = weight.new_zeros(weight.shape[0] + rank, weight.shape[1])
    tall[: weight.shape[0]] = weight.detach()
    weight.data = tall[: weight.shape[0]]
    return tall


class _GateUp(torch.autograd.Function):  # type: ignore[misc]
    """[T, in] -> two of [T, inner]."""

    @staticmethod
    def forward(context: Any, x: Tensor, mlp: _Mlp, *_: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.cat((x, x @ mlp.gate.a.T, x @ mlp.up.a.T), 1)
        context.save_for_backward(wide)
        context.mlp = mlp
        gate, up = mlp.gate.module.base_layer.bias, mlp.up.module.base_layer.bias
        return functional.linear(wide, mlp.wide_gate, gate), functional.linear(
            wide, mlp.wide_up, up
        )

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (to_gate, to_up), (wide,), mlp = slopes, context.saved_tensors, context.mlp
        inputs, middle = mlp.inputs, mlp.inputs + mlp.rank
        to_wide = (to_gate @ mlp.wide_gate).addmm_(to_up, mlp.wide_up)  # [T, in + ranks]
        x, of_gate, of_up = wide[:, :inputs], wide[:, inputs:middle], wide[:, middle:]
        through_gate, through_up = to_wide[:, inputs:middle], to_wide[:, middle:]
        to_x = to_wide[:, :inputs].addmm(through_gate, mlp.gate.a).addmm_(through_up, mlp.up.a)
        dtype = mlp.gate.masters[0].dtype
        return (
            to_x,
            None,
            _product(through_gate.T, x, dtype).mul_(mlp.gate.scale),
            _product(to_gate.T, of_gate, dtype),
            _product(through_up.T, x, dtype).mul_(mlp.up.scale),
            _product(to_up.T, of_up, dtype),
        )


class _Down(torch.autograd.Function):  # type: ignore[misc]
    """[T, inner] and the adapter's share [T, out] -> [T, out]. Its gradient to `inner` is that
    of both ways.
    """

    @staticmethod
    def forward(context: Any, inner: Tensor, beside: Tensor, mlp: _Mlp) -> Tensor:
        context.mlp = mlp
        context.mark_dirty(beside)
        return beside.addmm_(inner, mlp.down.module.base_layer.weight.T)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        (slope,), mlp = slopes, context.mlp
        return torch.cat((slope, slope @ mlp.down.b), 1) @ mlp.tall_down, slope, None


def _product(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """left @ right, kept in `dtype` rather than rounded to the precision of its factors where
    the kernel can.
    """
    if left.is_cuda and dtype == torch.float32 != left.dtype:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).to(dtype)


def _silu_and_times(gate: Tensor, up: Tensor) -> Tensor:
    return functional.silu(gate) * up


def _is_plain_lora(module: Any) -> bool:
    from peft.tuners.lora.layer import Linear

    if (
        type(module) is not Linear
        or type(module.base_layer) is not nn.Linear
        or module.fan_in_fan_out
    ):
        return False
    base, names = module.base_layer, module.active_adapters
    return (
        len(names) == 1
        and names[0] not in module.lora_variant
        and isinstance(module.lora_dropout[names[0]], nn.Identity)
        and module.lora_B[names[0]].bias is None
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


def _is_gated_mlp(module: Any) -> bool:
    """The MLP of Llama and Qwen: three projections and SiLU, every one of them with a plain
    adapter.
    """
    if (
        not type(module).__name__.endswith("MLP")
        or type(getattr(module, "act_fn", None)).__name__ not in SILU
    ):
        return False
    return all(_is_plain_lora(getattr(module, name, None)) for name in MLP)


def _use_liger(model: Any) -> None:
    from liger_kernel.ops import LigerRMSNormFunction, LigerRopeFunction

    def norm(self: Any, hidden: Tensor) -> Tensor:
        # "llama": the mean square in float32, the product in the input's precision, as Llama and
        # Qwen2 do.
        out: Tensor = LigerRMSNormFunction.apply(
            hidden, self.weight, self.variance_epsilon, 0.0, "llama", False
        )
        return out

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(norm, module)
            _rotate_with(LigerRopeFunction, sys.modules[type(module).__module__])


def _rotate_with(kernel: Any, home: Any) -> None:
    """Replace the rotary function of a transformers model file, for what the kernel knows; the
    rest stays as it was.
    """
    plain = getattr(home, "apply_rotary_pos_emb", None)
    if plain is None or hasattr(plain, "plain"):
        return

    def rotate(
        q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        known = (
            q.is_cuda
            and q.dtype == cos.dtype
            and q.shape[-1] == cos.shape[-1]
            and not args
            and not kwargs
        )
        turn = kernel.apply if known else plain
        turned: tuple[Tensor, Tensor] = turn(q, k, cos, sin, *args, **kwargs)
        return turned

    rotate.plain = plain  # type: ignore[attr-defined]
    home.apply_rotary_pos_emb = rotate
