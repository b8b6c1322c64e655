"""Cases as the page carries them: a small index that lists everything, the texts in chunks.

A chunk is opened when one of its cases is looked at.

Each block is gzip in base64 in a `<script>` of a type that no browser runs. Base64 has no `<`, so
no text of a model or a problem can end its block, and no text is HTML at any time.

    index   {"benchmarks": [{"name", "cases": [case, …]}], "models": [name, …], "chunks": count}
    case    {"id", "problem", "gold", "chunk", "at", "models": [[sample, …] of each model]}
    sample  [verdict, tokens, final answer, boxed, finish reason, second opinion, reason, checked by, unfinished]
    chunk   [[per model: [per sample: [reasoning, response, unclosed]]], …]   position `at` is the case's
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from evaluation.records import Case, Question, Results

CHUNK_CHARACTERS = 1 << 20  # opened within some 20 ms when a case in it is looked at
_LEVEL = 4  # of reasoning, 6% more bytes than level 6 in two fifths of its time
_THREADS = 2  # zlib lets go of the interpreter's lock


def pack(results: Results) -> Iterator[bytes]:
    """The page's data blocks: the index first, then the chunks in order."""
    index: list[dict[str, Any]] = []
    chunks = list(_chunks(results, index))
    contents = {"benchmarks": index, "models": list(results), "chunks": len(chunks)}
    yield _block("index", _compressed(contents))
    with ThreadPoolExecutor(_THREADS, "packing") as pool:
        for number, data in enumerate(pool.map(_compressed_texts, chunks)):
            yield _block(f"chunk-{number}", data)


def _chunks(results: Results, index: list[dict[str, Any]]) -> Iterator[list[list[Sequence[Case]]]]:
    """Groups of cases of about `CHUNK_CHARACTERS`, each case entered in `index` on the way."""
    base = next(iter(results.values()), {})
    chunk: list[list[Sequence[Case]]] = []
    number = 0
    size = 0
    for benchmark, groups in base.items():
        entries: list[dict[str, Any]] = []
        index.append({"name": benchmark, "cases": entries})
        for id_ in groups:
            samples_by_model = [cases[benchmark].get(id_, ()) for cases in results.values()]
            entries.append(_entry(groups[id_][0].question, number, len(chunk), samples_by_model))
            chunk.append(samples_by_model)
            size += sum(len(case.answer.text) for samples in samples_by_model for case in samples)
            if size >= CHUNK_CHARACTERS:
                yield chunk
                chunk = []
                size = 0
                number += 1
    if chunk:
        yield chunk


def _entry(
    question: Question, chunk: int, at: int, samples_by_model: Iterable[Sequence[Case]]
) -> dict[str, Any]:
    return {
        "id": question.id,
        "problem": question.problem,
        "gold": " or ".join(question.golds),
        "chunk": chunk,
        "at": at,
        "models": [[_row(case) for case in samples] for samples in samples_by_model],
    }


def _row(case: Case) -> list[Any]:
    verdict = case.verdict
    return [
        verdict.verdict,
        case.answer.completion_tokens,
        verdict.final_answer,
        case.boxed,
        case.answer.finish_reason,
        case.second_opinion,
        verdict.reason,
        verdict.checked_by,
        case.unfinished,
    ]


def _compressed_texts(chunk: Iterable[Iterable[Iterable[Case]]]) -> bytes:
    texts = [
        [[_parts(case) for case in samples] for samples in samples_by_model]
        for samples_by_model in chunk
    ]
    return _compressed(texts)


def _parts(case: Case) -> tuple[str, str, bool]:
    text = case.text
    return text.reasoning, text.response, text.unclosed


def _compressed(value: Any) -> bytes:
    try:
        data = orjson.dumps(value)
    except TypeError:  # half a surrogate pair, which some decoders let through: UTF-8 has none
        data = json.dumps(value, ensure_ascii=True).encode()
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0))


def _block(name: str, data: bytes) -> bytes:
    return b'<script type="application/gzip" id="%s">%s</script>\n' % (name.encode(), data)
