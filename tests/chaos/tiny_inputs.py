"""Models, a corpus and problems for the trainer's and the evaluation's stories, made once in the
interpreter that can: `python -m tests.chaos.tiny_inputs trainer FOLDER`.
"""

import sys
from pathlib import Path


def for_trainer(folder: Path) -> None:
    from tests.trainer import tiny_models
    from tests.trainer.corpora import trace, write_corpus

    tiny_models.save_model(folder / "model", layers=1, hidden=32, heads=2, kv_heads=1)
    write_corpus(folder / "corpus", [trace(number) for number in range(60)], rows=20)


def for_evaluation(folder: Path) -> None:
    from tests.evaluation import tiny_models

    shape = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    for seed, name in enumerate(("base", "tuned")):
        tiny_models.write_model(
            folder / name, seed, **shape, num_key_value_heads=1, intermediate_size=48
        )


if __name__ == "__main__":
    make = {"trainer": for_trainer, "evaluation": for_evaluation}[sys.argv[1]]
    make(Path(sys.argv[2]))
