"""The data card of an exported data set: origin, teacher, counts, licence, how it was checked
and decontaminated.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.records import Trace

COLUMNS = (
    "`messages` is the chat to train on (user, then assistant with `<think>` … `</think>`);"
    " `reasoning` and `response` are its parts. `pass_rate` is the share of the teacher's samples"
    " on this problem that were right. `repaired` rows were graded against the answer that the"
    " samples agreed on, not the data set's."
)

_COUNTERS = ("sources", "models", "checked_by", "flags", "prompts")


@dataclass
class Facts:
    """What is counted while the traces are written."""

    rows: int = 0
    tokens: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    checked_by: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)  # the first message's role and beginning

    def add(self, other: "Facts") -> None:
        """Count what was counted elsewhere, which comes after this."""
        self.rows += other.rows
        self.tokens += other.tokens
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        counters = {name: dict(getattr(self, name)) for name in _COUNTERS}
        return {"rows": self.rows, "tokens": self.tokens, **counters}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Facts":
        """The facts of which `as_dict` made `values`."""
        counters = {name: Counter(values[name]) for name in _COUNTERS}
        return cls(rows=values["rows"], tokens=values["tokens"], **counters)

    def counting(self, traces: Iterable[Trace]) -> Iterable[Trace]:
        """`traces`, counted on their way through."""
        for trace in traces:
            self.rows += 1
            self.tokens += trace.usage.completion_tokens
            self.sources[trace.source] += 1
            self.models[trace.model_returned or trace.model] += 1
            self.checked_by[trace.checked_by or "nothing"] += 1
            self.flags.update(trace.flags)
            yield trace


def data_card(
    name: str,
    facts: Facts,
    held_out: int,
    screening: Mapping[str, Any] | None,
    choice: str,
    licence: str,
) -> str:
    """README.md of the data set. `screening`: the summary in CORPUS/screening/state.json;
    `choice`: in words.
    """
    lines = [
        *_front_matter(facts, licence),
        "",
        f"# {name}",
        "",
        *_overview(facts, held_out, choice, licence),
        "",
        "## Origin of the problems",
        "",
        *_table("source", "traces", facts.sources),
        "",
        "## How answers were checked",
        "",
        "The final answer of every trace equals the data set's gold answer, found by:",
        "",
        *_table("check", "traces", facts.checked_by),
        "",
        "## Decontamination",
        "",
        *_decontamination(screening),
        "",
        "## Flags",
        "",
        *_flags(facts),
        "",
        "## Columns",
        "",
        COLUMNS,
    ]
    return "\n".join(lines) + "\n"


def _front_matter(facts: Facts, licence: str) -> list[str]:
    """The YAML that the hub reads."""
    return [
        "---",
        f"license: {licence}",
        "task_categories:",
        "- text-generation",
        "language:",
        "- en",
        "tags:",
        "- reasoning",
        "- distillation",
        "- synthetic",
        "size_categories:",
        f"- {_size(facts.rows)}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/train.parquet",
        "---",
    ]


def _overview(facts: Facts, held_out: int, choice: str, licence: str) -> list[str]:
    teachers = ", ".join(f"{model} ({count:,})" for model, count in facts.models.most_common())
    held_out_line = (
        f"- **Held out:** {held_out:,} problems, none of which has a trace here (`held-out.jsonl`)"
    )
    return [
        f"{facts.rows:,} verified reasoning traces, {facts.tokens:,} completion tokens, made with"
        " Stillhouse.",
        "",
        f"- **Teacher:** {teachers or 'none'}",
        f"- **Licence:** {licence}. Problems keep their data sets' licences, traces are bound to"
        " the teacher's terms.",
        f"- **Chosen:** {choice}",
        held_out_line if held_out else "",
    ]


def _flags(facts: Facts) -> list[str]:
    if not facts.flags:
        return ["Trace screening found nothing in these rows.", ""]
    return [
        "Noticed by trace screening and left in:",
        "",
        *_table("flag", "traces", facts.flags),
    ]


def _decontamination(screening: Mapping[str, Any] | None) -> list[str]:
    if not screening or not screening.get("evaluation_problems"):
        return ["The problems were not screened against evaluation sets."]
    copies = screening["copies"]
    numbers = screening["other_numbers"]
    lines = [
        (
            f"Before any call, {screening['rows']:,} problems were compared with"
            f" {screening['evaluation_problems']:,} evaluation problems (equal text in any style,"
            f" near text, 8- and 13-gram overlap). {sum(copies.values()):,} copies were left out."
        ),
        "",
    ]
    if copies:
        lines += _table("evaluation set, kind of copy", "problems", Counter(copies))
    if numbers:
        lines += ["", "Evaluation problems with other numbers, reported and not copies:", ""]
        lines += _table("evaluation set", "problems", Counter(numbers))
    return lines


def _table(name: str, count: str, counts: "Counter[str]") -> list[str]:
    rows = [f"| {key.replace('|', '/')} | {value:,} |" for key, value in counts.most_common()]
    return [f"| {name} | {count} |", "|---|---:|", *rows]


def _size(rows: int) -> str:
    for limit, name in (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    ):
        if rows < limit:
            return name
    return "1M<n<10M"
