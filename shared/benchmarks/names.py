"""The public benchmarks that the programs know by name, and where the hub keeps them."""

import difflib
import re
from typing import NamedTuple

from shared.row_files import SUFFIXES


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
    "gpqa:diamond": HubSet("Idavidrein/gpqa", "gpqa_diamond", "train"),
    "gpqa:main": HubSet("Idavidrein/gpqa", "gpqa_main", "train"),
    "gpqa:extended": HubSet("Idavidrein/gpqa", "gpqa_extended", "train"),
    "mmlu_pro": HubSet("TIGER-Lab/MMLU-Pro", None, "test"),
}

# Where ModelScope keeps them, by what evalscope 1.14.1 reads (its benchmarks/*_adapter.py); those that
# are not here have no data set of the same problems there.
ON_MODELSCOPE = {
    "gsm8k": HubSet("AI-ModelScope/gsm8k", "main", "test"),
    "math_500": HubSet("AI-ModelScope/MATH-500", None, "test"),
    "aime24": HubSet("evalscope/aime24", None, "test"),
    "aime25": HubSet("evalscope/aime25", None, "test"),
    "minerva_math": HubSet("knoveleng/Minerva-Math", None, "train"),
    "gpqa:diamond": HubSet("AI-ModelScope/gpqa_diamond", None, "train"),
    "mmlu_pro": HubSet("TIGER-Lab/MMLU-Pro", None, "test"),
}

# Before the name of a corpus or a training run: the problems that training did not see.
HELD_OUT = "held-out:"
# Before lighteval's own name of one of its tasks, which only the evaluation can ask.
LIGHTEVAL = "lighteval:"

_PLAIN_SUFFIXES = [suffix for suffix in SUFFIXES if not suffix.endswith(".gz")]
WHAT_A_NAME_IS = (
    f"{', '.join(PUBLIC)}, OWNER/NAME[:[CONFIG:]SPLIT] of the hub (modelscope:… of ModelScope),"
    f" {HELD_OUT}CORPUS or a path to a file ({', '.join(_PLAIN_SUFFIXES)}, also .gz)"
)

_HUB_NAME = re.compile(r"[\w.\-]+/[\w.\-]+(?::[\w.\-]+){0,2}")


def key_of(name: str) -> str | None:
    """The key in `PUBLIC` of the benchmark of that name; None where there is none.

    Spelling aside, and the data set's own name is as good: "MATH-500", "math500", "gsm8k:test",
    "aime_2024", "openai/gsm8k".
    """
    core = _core(name)
    for key, hub_set in PUBLIC.items():
        if core in map(_core, _aliases(key, hub_set, "/" in name)):
            return key
    return None


def is_one_of_several(hub_set: HubSet) -> bool:
    """Whether its data set holds several benchmarks, so that its name alone means none of them."""
    siblings = [
        public_set for public_set in PUBLIC.values() if public_set.data_set == hub_set.data_set
    ]
    return len(siblings) > 1


def nearest_names(name: str) -> list[str]:
    """The public benchmarks whose names look like `name`, the likeliest first."""
    core = plain(name)
    keys_by_core = {plain(key): key for key in PUBLIC}
    near = difflib.get_close_matches(core, keys_by_core, 3, 0.6)
    longer = [each for each in keys_by_core if len(core) > 2 and each.startswith(core)]
    return [keys_by_core[each] for each in dict.fromkeys([*near, *longer])]


def _aliases(key: str, hub_set: HubSet, with_owner: bool) -> tuple[str, ...]:
    """What a benchmark is called: as a key and by its data set's own name, or with its owner."""
    own_name = hub_set.data_set if with_owner else hub_set.data_set.partition("/")[2]
    if is_one_of_several(hub_set):
        own_name = f"{own_name}:{hub_set.subset}"
    if with_owner:
        return (own_name,)
    return (key, own_name)


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
