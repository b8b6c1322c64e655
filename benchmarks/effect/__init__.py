"""What moves a small student: many corpora and settings compared on one card
(docs/experiments/effect.md).

    python -m benchmarks.effect --model .cache/models/smollm2-135m --out effect.jsonl
    python -m benchmarks.effect.plots effect.jsonl docs/pictures

Every setting trains its own LoRA of one shared base; all settings of a group are trained in the
same forward passes (`adapters`), so that fifty trainings cost little more than two. The loop is
this benchmark's own: the trainer trains one model well, this trains many side by side. A test holds
it to what PEFT and AdamW do.
"""
