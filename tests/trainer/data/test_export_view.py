"""What `generator export x.jsonl` writes is taken by TRL's SFTTrainer as it is: one step on a
model made here.
"""

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")


@pytest.mark.filterwarnings("ignore")
def test_trl_trains_on_the_chat_export_as_it_is(tmp_path: Path) -> None:
    from datasets import load_dataset
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    from shared.prompts import training_messages

    path = tmp_path / "x.jsonl"
    rows = [
        training_messages(f"What is {n} + {n}?", f"I add {n} twice.", f"\\boxed{{{2 * n}}}")
        for n in range(8)
    ]
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    data = load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel()
    words.decoder = decoders.ByteLevel()
    specials = ["<|im_start|>", "<|im_end|>", "<pad>"]
    words.train_from_iterator(
        [message["content"] for row in rows for message in row],
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    trainer = SFTTrainer(
        model=LlamaForCausalLM(config),
        args=SFTConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            per_device_train_batch_size=4,
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=data,
        processing_class=tokenizer,
    )
    trainer.train()
    first_text = tokenizer.decode(trainer.train_dataset[0]["input_ids"])
    assert "<think>" in first_text
    assert "\\boxed{0}" in first_text
