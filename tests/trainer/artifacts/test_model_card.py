"""The model card says no more of the data than was checked."""

from trainer.artifacts.model_card import card_text

MANIFEST = {
    "model": "models/base",
    "method": "lora",
    "backend": "trl",
    "data": {"train": 20, "held_out": 2, "held_out_problems": ["p"], "left_out": {}, "tokens": 100},
    "template": {"digest": "d", "system": "template"},
    "learning_rate": {"value": 1e-4, "source": "configuration"},
    "plan": {"dtype": "fp32"},
    "card": {"name": "processor"},
    "seed": 0,
    "git_commit": "abc",
    "libraries": {},
}


def test_a_card_says_that_answers_were_checked_or_that_some_were_not() -> None:
    assert "20 traces with a checked final answer" in card_text(MANIFEST)
    unchecked_card = card_text(MANIFEST | {"data": MANIFEST["data"] | {"unverified": 7}})
    assert "20 traces of a corpus that keeps 7 unchecked ones" in unchecked_card
    assert "verified" not in unchecked_card
