"""CORPUS/manifest.json: the sealed shards of both piles with rows, bytes and sha256, and the
totals.

{"schema": 1, "shards": [{"name": "traces/shard-000000.jsonl", "rows": 2000, "bytes": 51200000, "sha256": "9f…"}],
 "totals": {"traces": {"shards": 1, "rows": 2000, "bytes": 51200000}, "rejected": {…}}}
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson

from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.records import SCHEMA
from shared.shards import PILES, SealedShard

NAME = "manifest.json"


def read_manifest(corpus: Path) -> dict[str, SealedShard]:
    """The listed shards by name; none where no manifest was written yet. Errors: `InputError`
    for a damaged one.
    """
    path = corpus / NAME
    try:
        shards = orjson.loads(path.read_bytes())["shards"]
        return {entry["name"]: SealedShard(**entry) for entry in shards}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: take it away or make it readable") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({error}): delete it, the next run writes it again from the shards"
        ) from None


def write_manifest(corpus: Path, shards: Iterable[SealedShard]) -> None:
    """Replace the manifest atomically. Errors: `CannotWrite`."""
    shards = sorted(
        shards, key=lambda shard: (PILES.index(shard.name.partition("/")[0]), shard.name)
    )
    totals = {}
    for pile in PILES:
        of_pile = [shard for shard in shards if shard.name.startswith(pile)]
        totals[pile] = {
            "shards": len(of_pile),
            "rows": sum(shard.rows for shard in of_pile),
            "bytes": sum(shard.bytes for shard in of_pile),
        }
    content = {"schema": SCHEMA, "shards": [asdict(shard) for shard in shards], "totals": totals}
    write_atomically(
        corpus / NAME, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
