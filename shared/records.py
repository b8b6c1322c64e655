"""The records that flow through the project, and THE file format: one `Trace` is one JSON object a
line.

A problem flows one way: row -> `Problem` -> lane -> `Completion` -> `Verdict` -> `Trace` in a
shard.

    {"schema": 1, "id": "0c3a…:0", "problem_id": "0c3a…", "sample": 0, "source": "gsm8k", "problem": "Natalia sold…",
     "gold": "72", "messages": [{"role": "user", "content": "Natalia sold…"}], "reasoning": "Okay, so…",
     "response": "She sold \\\\boxed{72}.", "final_answer": "72", "verdict": "correct", "reason": "equal as numbers", …}
"""

import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args

import orjson

from shared.errors import InputError

SCHEMA = 1

VerdictName = Literal["correct", "incorrect", "unverifiable", "no_answer", "truncated", "failed"]
CheckedBy = Literal["exact", "math_verify", "choice", "judge", ""]
VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)

Message = dict[str, str]


def problem_id(text: str) -> str:
    """First 16 hex digits of SHA-256 of the text in NFC with each run of white space made one
    space, stripped.

    Case and digits count: only exact duplicates share an id.
    """
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.sha256(normal.encode(errors="surrogatepass")).hexdigest()[:16]


def trace_id(problem: str, sample: int) -> str:
    """`problem_id:sample`, unique in a corpus."""
    return f"{problem}:{sample}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem as the generator takes it. `gold` is None where no single final answer is
    known.
    """

    id: str
    text: str
    gold: str | None
    source: str

    @classmethod
    def of(cls, text: str, gold: str | None, source: str) -> "Problem":
        """With the id that its text gives it."""
        return cls(problem_id(text), text, gold, source)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a sample's last call as the provider counted them, or our count where
    `estimated`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0  # reasoning included, as providers count it
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False


# How servers say that the token limit ended an answer: OpenAI's word, and gateways' to Anthropic,
# Google and Mistral.
CUT_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})


def is_cut(finish_reason: str) -> bool:
    """Whether the token limit ended an answer, as the server says it."""
    return finish_reason.lower() in CUT_REASONS


@dataclass(frozen=True, slots=True)
class Completion:
    """What one call to a teacher brought, whole or partial: `finish_reason` says which."""

    reasoning: str
    response: str
    finish_reason: str
    model_returned: str
    usage: Usage
    first_token_seconds: float | None  # from sending the request to the first token of any kind
    total_seconds: float
    error: str = ""  # one line, keys redacted, where the call failed


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one response. `reason` is one line: why, and how it was checked."""

    verdict: VerdictName
    final_answer: str | None
    reason: str
    checked_by: CheckedBy = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One finished sample, kept or rejected. Field order is the order of keys in the file."""

    id: str
    problem_id: str
    sample: int  # 0-based
    source: str
    problem: str
    gold: str | None
    messages: list[Message]  # as sent
    reasoning: str
    response: str  # never joined with the reasoning, never trimmed beyond the dialect's own tags
    final_answer: str | None
    verdict: VerdictName
    reason: str
    checked_by: CheckedBy
    finish_reason: str  # as sent, or ours: stalled, cut, empty, error
    lane: str
    model: str
    model_returned: str
    params: dict[str, Any]  # temperature, top_p, max_tokens as sent
    usage: Usage
    cost_usd: float | None
    timing: dict[str, float | None]  # first_token_seconds, total_seconds
    attempts: int  # HTTP calls made for this sample
    started_at: str  # UTC, ISO 8601
    finished_at: str
    flags: list[str] = field(
        default_factory=list
    )  # what trace screening noticed; never changes the verdict
    schema: int = SCHEMA

    @property
    def kept(self) -> bool:
        """Whether the verdict alone puts this trace in `traces/` (an `unverifiable` one may be
        kept on purpose).
        """
        return self.verdict == "correct"

    def to_line(self) -> bytes:
        """The trace as one line of JSON, newline included. No reader's idea of a line end is in
        it but that one.
        """
        row: dict[str, Any] = {"schema": self.schema}
        row.update((name, getattr(self, name)) for name in _TRACE_KEYS)
        row["usage"] = {name: getattr(self.usage, name) for name in _USAGE_KEYS}
        # One string: readers that infer types take the empty list of a first shard for a column of
        # nothing but nulls.
        row["flags"] = ", ".join(self.flags)
        try:
            line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # half a surrogate pair in some text: no UTF-8 can hold it
            line = orjson.dumps(_without_surrogates(row), option=orjson.OPT_APPEND_NEWLINE)
        for character, escape in _LINE_ENDS:
            line = line.replace(character, escape)
        return line

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Trace":
        """A trace from one parsed line; unknown keys are left aside.

        Errors: `InputError` names a missing key, a key of another type or a foreign schema.
        """
        if row.get("schema") != SCHEMA:
            raise InputError(
                f"schema {row.get('schema')!r} is not {SCHEMA}: written by another version or not a"
                " trace"
            )
        for name in _REQUIRED_KEYS:
            if name not in row:
                raise InputError(f"not a trace: no key {name!r}")
        for name, kind in _TYPES.items():
            if not isinstance(row[name], kind):
                raise InputError(f"not a trace: {name!r} is a {type(row[name]).__name__}")
        if not all(map(_is_message, row["messages"])):
            raise InputError(
                "not a trace: 'messages' holds something other than texts with a role and a content"
            )
        values = {name: row[name] for name in _TRACE_KEYS if name in row}
        usage = {name: row["usage"][name] for name in _USAGE_KEYS if name in row["usage"]}
        flags = row.get("flags") or []
        if not isinstance(flags, str | list):
            raise InputError(f"not a trace: 'flags' is a {type(flags).__name__}")
        values["flags"] = flags.split(", ") if isinstance(flags, str) else flags
        return cls(**{**values, "usage": Usage(**usage)})


# JSON allows them in a string as they are, str.splitlines() and others split there.
_LINE_ENDS = tuple(
    (character.encode(), b"\\u%04x" % ord(character)) for character in "\u0085\u2028\u2029"
)
_TRACE_KEYS = tuple(f.name for f in fields(Trace) if f.name != "schema")
_REQUIRED_KEYS = tuple(name for name in _TRACE_KEYS if name != "flags")
_USAGE_KEYS = tuple(f.name for f in fields(Usage))
_TYPES: dict[str, type | UnionType] = {  # of the keys that readers rely on
    **dict.fromkeys(
        (
            "id",
            "problem_id",
            "source",
            "problem",
            "reasoning",
            "response",
            "verdict",
            "reason",
            "finish_reason",
        ),
        str,
    ),
    **dict.fromkeys(("gold", "final_answer"), str | None),
    **dict.fromkeys(("sample", "attempts"), int),
    **dict.fromkeys(("usage", "params", "timing"), dict),
    "cost_usd": int | float | None,
    "messages": list,
}


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("role"), str)
        and isinstance(value.get("content"), str)
    )


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def read_traces(corpus: str | Path, passed_over: Collection[str] = ()) -> Iterator[Trace]:
    """Every kept trace of a corpus, from its sealed shards in order. Errors: `InputError` with file
    and line.

    `passed_over`: names of shards that are not read, as the manifest gives them
    ("traces/shard-000000.jsonl").
    """
    from shared.shards import read_rows, sealed_files

    for path in sealed_files(Path(corpus), "traces"):
        if str(path.relative_to(corpus)) in passed_over:
            continue
        for number, row in read_rows(path):
            try:
                yield Trace.from_row(row)
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from None
