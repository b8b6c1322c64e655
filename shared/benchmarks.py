"""The public benchmarks that the programs know by name, and where the hub keeps them.

The generator keeps their problems out of a corpus, the trainer looks again at its door, the
evaluation asks them: one table, so that what is examined is what was kept out.
"""

from typing import NamedTuple


class HubSet(NamedTuple):
    """A data set on the hub: `datasets.load_dataset(data_set, subset, split=split)`."""

    data_set: str
    subset: str | None
    split: str


PUBLIC = {
    "gsm8k": HubSet("openai/gsm8k", "main", "test"),
    "math_500": HubSet("HuggingFaceH4/MATH-500", None, "test"),
    "aime24": HubSet("HuggingFaceH4/aime_2024", None, "train"),
    "aime25": HubSet("yentinglin/aime_2025", None, "train"),
    "amc23": HubSet("math-ai/amc23", None, "test"),
    "olympiadbench": HubSet("math-ai/olympiadbench", None, "test"),
    "minerva_math": HubSet("math-ai/minervamath", None, "test"),
}


def public(name: str) -> HubSet | None:
    """The benchmark of that name, spelling aside: "MATH-500", "math_500" and "math500", "gsm8k"
    and "gsm8k:test".
    """
    key = key_of(name)
    return PUBLIC[key] if key else None


def key_of(name: str) -> str | None:
    """The key in `PUBLIC` of the benchmark of that name, spelling aside; None where there is
    none.
    """
    return next((key for key in PUBLIC if _core(key) == _core(name)), None)


def plain(name: str) -> str:
    """A name's letters and digits, in lower case."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _core(name: str) -> str:
    return plain(name).removesuffix("test")
