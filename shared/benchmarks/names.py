"""The public benchmarks that the programs know by name, and where the hub keeps them."""

import re
from typing import NamedTuple


class HubSet(NamedTuple):
    """A data set on the hub: `datasets.load_dataset(data_set, subset, split=split)`."""

    data_set: str
    subset: str | None
    split: str

    def __str__(self) -> str:
        return f"{self.data_set} {self.subset or 'default'}/{self.split}"


PUBLIC = {
    "gsm8k": HubSet("openai/gsm8k", "main", "test"),
    "math_500": HubSet("HuggingFaceH4/MATH-500", None, "test"),
    "aime24": HubSet("HuggingFaceH4/aime_2024", None, "train"),
    "aime25": HubSet("yentinglin/aime_2025", None, "train"),
    "amc23": HubSet("math-ai/amc23", None, "test"),
    "olympiadbench": HubSet("math-ai/olympiadbench", None, "test"),
    "minerva_math": HubSet("math-ai/minervamath", None, "test"),
}

# Before the name of a corpus or a training run: the problems that training did not see.
HELD_OUT = "held-out:"
DATA_FILES = (".jsonl", ".parquet")

WHAT_A_NAME_IS = (
    f"{', '.join(PUBLIC)}, OWNER/NAME[:[CONFIG:]SPLIT] of the hub, {HELD_OUT}CORPUS or a path"
    " ending in .jsonl or .parquet"
)

_HUB_NAME = re.compile(r"[\w.\-]+/[\w.\-]+(?::[\w.\-]+){0,2}")


def key_of(name: str) -> str | None:
    """The key in `PUBLIC` of the benchmark of that name; None where there is none.

    Spelling aside, and the data set's own name is as good: "MATH-500", "math500", "gsm8k:test",
    "aime_2024", "openai/gsm8k".
    """
    core = _core(name)
    for key, hub_set in PUBLIC.items():
        _, _, own_name = hub_set.data_set.partition("/")
        aliases = (hub_set.data_set,) if "/" in name else (key, own_name)
        if core in map(_core, aliases):
            return key
    return None


def hub_set_of(name: str) -> HubSet | None:
    """The data set that a name means: a public benchmark's, or the one that is written out as
    OWNER/NAME[:[CONFIG:]SPLIT], whose split is "test" unless it is given.
    """
    key = key_of(name)
    if key is not None:
        return PUBLIC[key]
    if not _HUB_NAME.fullmatch(name):
        return None
    data_set, *parts = name.split(":")
    split = parts[-1] if parts else "test"
    subset = parts[0] if len(parts) > 1 else None
    return HubSet(data_set, subset, split)


def plain(name: str) -> str:
    """A name's letters and digits, in lower case."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _core(name: str) -> str:
    return plain(name).removesuffix("test")
