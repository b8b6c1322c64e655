"""The card or processor that trains: what it has, and how fast it really multiplies matrices."""

import os
import time
from dataclasses import dataclass
from typing import Any, Literal

GIB = float(1 << 30)
MEASURING_SECONDS = 0.1  # for each precision
BF16_WORTH_IT = 1.5  # times the speed of float32 on a processor: below, the casts eat the gain


@dataclass(frozen=True, slots=True)
class Card:
    """Where training runs, as data: plans are made from it, also for a card that is not here."""

    name: str
    kind: Literal["cuda", "mps", "cpu"]
    total_gib: float
    free_gib: float
    bf16: bool
    peak_tflops: float = (
        0.0  # measured matrix products a second in the training precision; 0: not measured
    )

    @property
    def device(self) -> str:
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if self.kind == "cuda" else self.kind


def find_card(*, measure: bool = True) -> Card:
    """The first GPU, or the processor."""
    import torch

    if torch.cuda.is_available():
        index = int(os.environ.get("LOCAL_RANK", "0"))
        free, total = torch.cuda.mem_get_info(index)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        peak = matrix_peak(f"cuda:{index}", "bf16" if bf16 else "fp32") if measure else 0.0
        return Card(torch.cuda.get_device_name(index), "cuda", total / GIB, free / GIB, bf16, peak)
    all_gib, left_gib = _memory_gib()
    if torch.backends.mps.is_available():
        return Card("Apple GPU", "mps", all_gib, left_gib * 0.7, bf16=False)
    name = f"processor, {torch.get_num_threads()} threads"
    if not measure:
        return Card(name, "cpu", all_gib, left_gib, bf16=False)
    # Processors differ: with matrix units for bfloat16 it is two or three times as fast, without
    # them slower.
    full, half = matrix_peak("cpu", "fp32"), matrix_peak("cpu", "bf16")
    bf16 = half > BF16_WORTH_IT * full
    return Card(name, "cpu", all_gib, left_gib, bf16, half if bf16 else full)


def matrix_peak(device: str, dtype: str) -> float:
    """TFLOP/s of a square matrix product on random numbers, as large a one as MEASURING_SECONDS
    allow.

    Small first: without instructions for bfloat16 a processor takes two seconds for a product that
    others make in five milliseconds, and every start would wait for it.
    """
    import torch

    size, largest = (1024, 8192) if device.startswith("cuda") else (64, 1024)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32

    def factors(side: int) -> tuple[Any, Any]:
        return (
            torch.randn(side, side, device=device, dtype=kind),
            torch.randn(side, side, device=device, dtype=kind),
        )

    _product_seconds(*factors(64))  # the first one loads the library
    deadline = time.perf_counter() + MEASURING_SECONDS
    while True:
        pair = factors(size)
        seconds = min(_product_seconds(*pair) for _ in range(2))
        twice_the_side = 2 * 8 * seconds
        if size == largest or time.perf_counter() + 2 * twice_the_side > deadline:
            break
        size *= 2
    for _ in range(6):  # the best of a few, since clocks have to rise
        if time.perf_counter() + seconds > deadline:
            break
        seconds = min(seconds, _product_seconds(*pair))
    return 2 * size**3 / seconds / 1e12


def _product_seconds(left: Any, right: Any) -> float:
    import torch

    began = time.perf_counter()
    left @ right
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _memory_gib() -> tuple[float, float]:
    """(all, available) memory of the machine, or of the container that is smaller."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = float(memory.total), float(memory.available)
    try:
        with (
            open("/sys/fs/cgroup/memory.max") as limit,
            open("/sys/fs/cgroup/memory.current") as used,
        ):
            ceiling = limit.read().strip()
            if ceiling != "max":
                total, free = (
                    min(total, float(ceiling)),
                    min(free, float(ceiling) - float(used.read())),
                )
    except (OSError, ValueError):
        pass
    return total / GIB, free / GIB
