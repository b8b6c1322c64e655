"""A run from corpus to chat on a tiny model: trained, merged with proof, exported, asked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import ROOT, finish, metrics, start, write_config
from tests.trainer.students.models import LLAMA3_ROPE
from trainer.__main__ import main
from trainer.artifacts import gguf_writer
from trainer.artifacts.gguf import export_gguf, read_again
from trainer.artifacts.gguf_writer import write_gguf
from trainer.artifacts.merge import (
    LOGIT_TOLERANCE,
    MergeRefused,
    Observed,
    compare,
    eval_prompts,
    observe,
)
from trainer.loop.step import MicroBatch

END = (2,)  # <|im_end|> of the tiny models


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    config = write_config(folder, model_folder, corpus, track={"to": ["tensorboard"]})
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "step 12/12" in output
    assert "left 0:00" in output
    assert "greedy answers the same" in output
    return folder / "run"


def test_a_finished_run_has_all_its_files(run: Path) -> None:
    names = [
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "probe.jsonl",
        "report.html",
        "adapter/README.md",
    ]
    names += [
        "adapter/adapter_model.safetensors",
        "merged/model.safetensors",
        "merged/chat_template.jinja",
    ]
    for name in names:
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").rglob("events.*")), "the tracker's own file"
    card = (run / "merged/README.md").read_text()
    assert "greedy answers equal to the adapter's" in card
    assert json.loads((run / "manifest.json").read_bytes())["merge"]["holds"] is True


def test_a_finished_run_is_left_alone_and_what_was_lost_of_it_is_made_again(run: Path) -> None:
    weights = run / "merged" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    config = next(run.parent.glob("*.toml"))
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "nothing is left to do" in output
    assert weights.stat().st_mtime_ns == before
    assert json.loads((run / "manifest.json").read_bytes())["merge"]["holds"] is True
    shutil.rmtree(run / "merged")
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "memory check" not in output  # nothing is trained for it, not even one step too many
    assert list(metrics(run)) == list(range(1, 13))
    assert weights.exists()
    assert max(metrics(run)) == 12
    assert f"{run / 'adapter'}: weights of step 12" in output


def test_checkpoints_that_a_kill_left_beyond_the_limit_go_when_the_run_goes_on(run: Path) -> None:
    newest = run / "checkpoints/checkpoint-12"
    best = json.loads((newest / "whole.json").read_bytes())["state"]["best"]["step"]
    for step in (1, 2, 3):
        shutil.copytree(newest, newest.with_name(f"checkpoint-{step}"))
    config = next(run.parent.glob("*.toml"))
    code, output = finish(start("run", str(config), "--set", "train.save_total_limit=2"))
    assert code == 0, output
    kept = {path.name for path in newest.parent.glob("checkpoint-*")}
    assert {newest.name, f"checkpoint-{best:.0f}"} <= kept
    assert len(kept) == 2


def test_a_merge_ends_with_its_run_and_one_that_a_signal_ends_is_told(
    run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copy / "merged")
    words = ["run", str(next(run.parent.glob("*.toml"))), "--set", f"run={copy}"]
    process = start(*words)
    merges: list[int] = []
    while process.poll() is None and not merges:
        time.sleep(0.05)
        merges = _children_named("merge", process.pid)
    os.kill(merges[0], signal.SIGKILL)
    code, output = finish(process)
    assert code == 1
    assert "the merge was ended by SIGKILL" in output
    process = start(*words)
    orphans: list[int] = []
    while process.poll() is None and not orphans:
        time.sleep(0.05)
        orphans = _children_named("merge", process.pid)
    refused_merge = finish(start("merge", str(copy)))
    assert refused_merge[0] == 2
    assert f"held by process {process.pid}" in refused_merge[1]
    process.kill()
    finish(process)
    deadline = time.monotonic() + 20
    while _lives(orphans[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(orphans[0]), "a merge outlives the run that is killed"
    assert "Traceback" not in output
    assert finish(start(*words))[0] == 0
    assert (copy / "merged/model.safetensors").exists()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children_named(word: str, pid: int) -> list[int]:
    """Children of a process with this word in their command, as they are now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = {child: Path(f"/proc/{child}/cmdline") for child in children}
    return [int(child) for child, path in commands.items() if word in path.read_text().split("\0")]


def test_a_run_that_is_asked_for_more_steps_than_its_data_has_ends_with_the_data(
    tmp_path: Path, model_folder: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [trace(i) for i in range(16)])
    tables: dict[str, Any] = {
        "train": {"max_steps": 50, "merge": False, "holdout": 0},
        "probe": {"problems": 0},
    }
    code, output = finish(start("run", str(write_config(tmp_path, model_folder, corpus, **tables))))
    assert code == 0, output
    assert "run: 2 steps" in output
    assert list(metrics(tmp_path / "run")) == [1, 2]
    assert metrics(tmp_path / "run", "epoch") == {1: 0.5, 2: 1.0}


def test_the_merged_folder_stops_at_the_token_that_was_taught(
    run: Path, model_folder: Path
) -> None:
    generation = json.loads((run / "merged/generation_config.json").read_bytes())
    end = tiny_models.tokenizer().convert_tokens_to_ids("<|im_end|>")
    ends = generation["eos_token_id"]
    assert end in (ends if isinstance(ends, list) else [ends])
    assert (
        ChatRenderer.of(_tokenizer(model_folder)).digest
        == ChatRenderer.of(_tokenizer(run / "merged")).digest
    )


def test_chat_streams_answers_compares_with_the_base_and_takes_settings(run: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "trainer", "chat", str(run), "--max-new-tokens", "6"],
        cwd=ROOT,
        text=True,
        input=(
            "What is 2 + 3?\n/compare\n/temperature 0.5\n/temperature hot\n/tokens"
            " 4\nagain\n/new\n/compare\n"
        ),
        capture_output=True,
        check=True,
    ).stdout
    assert process.index("── base") < process.index("── tuned")
    assert "temperature 0.5\n" in process
    assert "/compare [question]" in process
    assert "at most 4 tokens" in process
    assert "ask something first" in process


def test_inspect_shows_a_row_and_writes_a_page(
    tmp_path: Path, model_folder: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, model_folder, corpus)
    assert main(["inspect", str(config), "--row", "2", "--html", str(tmp_path / "rows.html")]) == 0
    shown = capsys.readouterr().out
    assert (
        shown.index("not in the loss:") < shown.index("── in the loss:") < shown.index("</think>")
    )
    assert "You are a test model" in shown.split("── in the loss:")[0]
    assert "from test\n" in shown
    assert (tmp_path / "rows.html").read_text(encoding="utf-8").count("<section>") == 10


def test_a_merge_that_is_another_model_does_not_pass_the_proof(
    run: Path, model_folder: Path, tokenizer: Any
) -> None:
    trained_model = _model(run / "merged")
    base = _model(model_folder)
    prompts = eval_prompts(run, ChatRenderer.of(tokenizer))
    assert len(prompts) == 20
    before = observe(trained_model, tokenizer, prompts, END)
    same = compare(before, observe(trained_model, tokenizer, prompts, END))
    assert same.holds
    assert same.worst_logit_difference == 0
    proof_of_base = compare(before, observe(base, tokenizer, prompts, END))
    assert not proof_of_base.holds
    assert proof_of_base.mean_logit_difference > LOGIT_TOLERANCE


def test_answers_that_part_where_two_tokens_were_equally_likely_do_not_fail_a_proof() -> None:
    import torch

    flat = torch.zeros(1, 50)
    clear = torch.zeros(1, 50)
    flat[0, :2] = torch.tensor([9.0, 8.999])
    clear[0, :2] = torch.tensor([9.0, 1.0])
    assert compare([Observed([0], flat)], [Observed([1], flat)]).holds
    assert not compare([Observed([0], clear)], [Observed([1], clear)]).holds


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("qwen2", "f16"), ("qwen2", "q8_0"), ("llama", "bf16"), ("llama3", "f16")],
)
def test_a_gguf_file_is_read_back_as_the_model_it_was_made_from(
    tmp_path: Path, model_folder: Path, architecture: str, kind: str
) -> None:
    folder = _run_of(tmp_path, model_folder, architecture)
    lines: list[str] = []
    assert export_gguf(folder, kind, lines.append) == 0
    assert (folder / f"model-{kind}.gguf").exists()
    assert "greedy answers the same" in lines[0]
    assert not list(folder.glob("*.new"))


def test_a_gguf_file_of_another_model_does_not_pass_the_proof(
    tmp_path: Path, model_folder: Path
) -> None:
    folder = _run_of(tmp_path, model_folder, "llama")
    tokens = _tokenizer(model_folder)
    chat = ChatRenderer.of(tokens)
    path = folder / "other.gguf"
    write_gguf(model_folder, tokens, chat, path, "f16")
    assert not read_again(folder, path, tokens, chat).result.holds


def test_a_gguf_file_without_the_factors_of_llama_3s_rope_does_not_pass_the_proof(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _run_of(tmp_path, model_folder, "llama3")
    monkeypatch.setattr(gguf_writer, "rope_factors", lambda config: None)  # as before they were
    with pytest.raises(MergeRefused, match="rotary frequencies differ"):
        export_gguf(folder, "f16", print)


def test_out_of_memory_halves_a_micro_batch_down_to_one_example_and_no_further() -> None:
    micro = MicroBatch(rows=1 << 40, tokens=8192)
    smaller_sizes = []
    while micro.halve(longest=1000):
        smaller_sizes.append(micro.tokens)
    assert smaller_sizes == [4096, 2048, 1024, 1000]
    by_rows = MicroBatch(rows=4, tokens=1 << 40)
    assert by_rows.halve(longest=1000)
    assert by_rows.rows == 2


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _model(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _run_of(tmp_path: Path, model_folder: Path, architecture: str) -> Path:
    """A run's folder with a merged model of an architecture; its weights are large, so that its
    answers are clear.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2ForCausalLM

    model = _model(model_folder)
    if architecture.startswith("llama"):
        run_config = {
            k: v
            for k, v in model.config.to_dict().items()
            if k not in ("model_type", "architectures")
        }
        if architecture == "llama3":
            run_config["rope_parameters"] = LLAMA3_ROPE
        model = LlamaForCausalLM(LlamaConfig(**run_config))
    assert isinstance(model, LlamaForCausalLM | Qwen2ForCausalLM)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.ndim > 1 else 1.0))
    folder = tmp_path / "run"
    shutil.copytree(model_folder, folder / "merged")
    model.to(torch.bfloat16).save_pretrained(folder / "merged")
    config = write_config(tmp_path, model_folder, tmp_path)
    from shared.config import load
    from trainer.config import TrainerConfig

    (folder / "config.json").write_text(load(TrainerConfig, config).model_dump_json())
    return folder
