"""Cases as the page carries them: a small index that lists everything, the texts in chunks that are
opened on demand.

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

from evaluation.records import Case, Results

CHUNK_CHARACTERS = 1 << 20  # opened within some 20 ms when a case in it is looked at
_LEVEL = 4  # of reasoning, 6% more bytes than level 6 in two fifths of its time
_THREADS = 2  # zlib lets go of the interpreter's lock


def pack(results: Results) -> Iterator[bytes]:
    """The page's data blocks: the index first, then the chunks in order."""
    index: list[dict[str, Any]] = []
    texts = list(_chunked(results, index))
    yield _block(
        "index", _compressed({"benchmarks": index, "models": list(results), "chunks": len(texts)})
    )
    with ThreadPoolExecutor(_THREADS, "packing") as pool:
        for number, data in enumerate(pool.map(_compressed_texts, texts)):
            yield _block(f"chunk-{number}", data)


def _chunked(results: Results, index: list[dict[str, Any]]) -> Iterator[list[list[Sequence[Case]]]]:
    """Groups of cases of about `CHUNK_CHARACTERS`, each case entered in `index` on the way."""
    first = next(iter(results.values()), {})
    chunk: list[list[Sequence[Case]]] = []
    number = size = 0
    for benchmark in first:
        cases: list[dict[str, Any]] = []
        index.append({"name": benchmark, "cases": cases})
        for id_, group in first[benchmark].items():
            answered = [told[benchmark].get(id_, ()) for told in results.values()]
            question = group[0].question
            cases.append(
                {
                    "id": id_,
                    "problem": question.problem,
                    "gold": question.gold,
                    "chunk": number,
                    "at": len(chunk),
                    "models": [[_row(case) for case in samples] for samples in answered],
                }
            )
            chunk.append(answered)
            size += sum(len(case.answer.text) for samples in answered for case in samples)
            if size >= CHUNK_CHARACTERS:
                yield chunk
                chunk, size, number = [], 0, number + 1
    if chunk:
        yield chunk


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
    return _compressed(
        [[[_parts(case) for case in samples] for samples in answered] for answered in chunk]
    )


def _parts(case: Case) -> tuple[str, str, bool]:
    text = case.text
    return text.reasoning, text.response, text.unclosed


def _compressed(value: Any) -> bytes:
    try:
        data = orjson.dumps(value)
    except (
        TypeError
    ):  # half a surrogate pair, which some decoders let through: no UTF-8 can hold it
        data = json.dumps(value, ensure_ascii=True).encode()
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0))


def _block(name: str, data: bytes) -> bytes:
    return b'<script type="application/gzip" id="%s">%s</script>\n' % (name.encode(), data)
