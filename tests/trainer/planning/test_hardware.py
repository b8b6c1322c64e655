"""The processor's speed is measured within a time box, whatever instructions it has."""

import os
import subprocess
import sys

import pytest

from tests.trainer.process_runs import ROOT

MEASURE = """
import time
import torch
from trainer.planning.hardware import find_card
began = time.process_time()
card = find_card()
print(time.process_time() - began, card.kind, card.peak_tflops)
"""


@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX2"])  # AVX2 has none for bfloat16
def test_measuring_a_processor_takes_no_longer_without_bfloat16_instructions(
    instructions: str,
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ONEDNN_MAX_CPU_ISA": instructions,
            "CUDA_VISIBLE_DEVICES": "",
        },
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, kind, peak = process.stdout.split()
    if kind != "cpu":
        pytest.skip("this machine has another device than its processor")
    assert float(seconds) < 0.6  # two boxes of 0.1 s, and what the first product loads
    assert float(peak) > 0
