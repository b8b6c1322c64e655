"""Exact and near duplicates of a whole data set, found on the disk: two passes, memory of about 80
bytes a problem.

Pass one (`add`) appends fixed-size records to files, in the order of the data; a killed run goes on
after the last whole record. Pass two (`settle`) sorts the records' keys with numpy, a key column at
a time. Which problem of a group stays is decided by the ids alone (the smallest), so the order of
the data does not matter.

Exact: equal text once style is taken away (`text.tokens`) and an equal gold ("88 / 4 / 2" is not
"88 / (4 / 2)"). Near: MinHash-LSH over 3-token shingles, the signatures from rensa, and equal
numbers and gold: the same text with other numbers is another problem, and one sign changed gives
another answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.screening.summary import DUPLICATE, NEAR_DUPLICATE
from shared.contamination.text import squeeze, tokens
from shared.file_writing import open_within
from shared.records import Problem

PERMUTATIONS = 128
SHINGLE = 3
PAIRS_A_BLOCK = 100_000  # whose signatures are in memory at once
RECALL_AT_THRESHOLD = 0.98
# of a group that shares a band, each member is compared with so many of the smallest ids
GROUP_HEADS = 8
# of the MinHash permutations: fixed, so that a resumed run goes on with the same ones
_SEED = 20261124

RECORD = np.dtype([("id", "<u8"), ("text", "<u8"), ("facts", "<u8")])
Keys = NDArray[np.uint64]
Records = Mapping[str, bytes]  # by the name of the file that they are appended to


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What `settle` found. `losers` and `winners` are ids in parallel, sorted by loser."""

    losers: Keys
    winners: Keys
    near: NDArray[np.bool_]  # in parallel: a near-duplicate rather than an exact one
    repeated: Keys  # ids that stand in more than one row, sorted
    rows: int
    repeated_rows: int  # rows beyond the first of their id

    def reasons(self) -> dict[int, tuple[str, int]]:
        """id that is left out -> (why, the id that stays instead)."""
        pairs = zip(self.losers.tolist(), self.winners.tolist(), self.near, strict=True)
        return {
            loser: (NEAR_DUPLICATE if is_near else DUPLICATE, winner)
            for loser, winner, is_near in pairs
        }


def bands_for(threshold: float) -> tuple[int, int]:
    """(bands, rows a band) of 128: the longest bands that still find 98 of 100 pairs right at
    the threshold.
    """
    for rows in (32, 16, 8, 4, 2, 1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL_AT_THRESHOLD:
            return bands, rows
    return PERMUTATIONS, 1


def records_of(
    problems: Sequence[Problem], batch_tokens: Sequence[list[str]], near: float
) -> Records:
    """The records of a batch by file. `batch_tokens`: see `DuplicateIndex.add`; `near`: see
    `DuplicateIndex`.
    """
    rows: NDArray[np.void] = np.empty(len(problems), RECORD)
    rows["id"] = [int(problem.id, 16) for problem in problems]
    golds = [_gold_key(problem) for problem in problems]
    pairs = list(zip(batch_tokens, golds, strict=True))
    rows["text"] = [text_key(text_tokens) ^ gold for text_tokens, gold in pairs]
    rows["facts"] = 0
    if not near:
        return {"rows": rows.tobytes()}
    rows["facts"] = [_facts_key(text_tokens, gold) for text_tokens, gold in pairs]
    signatures = _signatures(batch_tokens)
    bands, band_rows = bands_for(near)
    records = {"rows": rows.tobytes(), "signatures": signatures.astype(np.uint8).tobytes()}
    for band in range(bands):
        start = band * band_rows
        keys = _mix(signatures[:, start : start + band_rows]) ^ rows["facts"]
        records[_band_name(band)] = keys.tobytes()
    return records


class DuplicateIndex:
    """The records of one data set in `folder`. `near` is the similarity of near-duplicates; 0:
    exact ones only.
    """

    def __init__(self, folder: Path, near: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._near = near
        self._bands = bands_for(near)[0] if near else 0
        widths = {"rows": RECORD.itemsize}
        if near:
            widths["signatures"] = PERMUTATIONS
            for band in range(self._bands):
                widths[_band_name(band)] = 8
        self._paths = {name: folder / f"{name}.bin" for name in widths}
        self.rows = min(_records(self._paths[name], width) for name, width in widths.items())
        self._files = {}
        for name, width in widths.items():
            file = open(self._paths[name], "ab", opener=open_within)  # noqa: SIM115 - closed by close()
            file.truncate(self.rows * width)  # what the other files do not have yet is done again
            self._files[name] = file

    def add(self, problems: Sequence[Problem], batch_tokens: Sequence[list[str]]) -> None:
        """Append a batch. `batch_tokens` are the `text.tokens` of each problem's text."""
        self.append(records_of(problems, batch_tokens, self._near))

    def append(self, records: Records) -> None:
        """Append what `records_of` made of a batch with this similarity."""
        self.rows += len(records["rows"]) // RECORD.itemsize
        for name, file in self._files.items():
            file.write(records[name])
        for file in self._files.values():
            file.flush()

    def settle(self) -> Duplicates:
        """Sort and decide. May be called again after more rows were added."""
        rows = np.fromfile(self._paths["rows"], RECORD)
        order = np.lexsort((rows["id"], rows["text"]))
        ids = rows["id"][order]
        text = rows["text"][order]
        del rows
        starts = _starts(text)
        winner = ids[starts][np.cumsum(starts) - 1]
        # rows whose id has come before: the same text word for word
        is_repeat: NDArray[np.bool_] = np.zeros(len(ids), bool)
        is_same_id = ids[1:] == ids[:-1]
        is_repeat[1:] = is_same_id & ~starts[1:]
        is_other_id = ids != winner
        is_loser = is_other_id & ~is_repeat
        losers = ids[is_loser]
        winners = winner[is_loser]
        near_losers = _NONE
        near_winners = _NONE
        if self._near and len(ids):  # an empty file cannot be mapped
            near_losers, near_winners = self._settle_near(np.sort(order[starts]))
        all_losers = np.concatenate([losers, near_losers])
        all_winners = np.concatenate([winners, near_winners])
        is_near = np.arange(len(all_losers)) >= len(losers)
        by_loser = np.argsort(all_losers, kind="stable")
        return Duplicates(
            losers=all_losers[by_loser],
            winners=all_winners[by_loser],
            near=is_near[by_loser],
            repeated=np.unique(ids[is_repeat]),
            rows=len(ids),
            repeated_rows=int(is_repeat.sum()),
        )

    def close(self) -> None:
        """Close the files; they stay."""
        for file in self._files.values():
            file.close()

    def _settle_near(self, survivors: NDArray[np.intp]) -> tuple[Keys, Keys]:
        """(losers, winners) among the rows `survivors`, one row for each text."""
        ids = np.fromfile(self._paths["rows"], RECORD)["id"][survivors]
        # the row's place by id: comparisons and the greedy walk go by it
        rank = np.argsort(np.argsort(ids))
        band_pairs = [self._pairs_of_band(band, survivors, rank) for band in range(self._bands)]
        pairs = np.unique(np.concatenate(band_pairs), axis=0)
        by_rank: NDArray[np.intp] = np.empty(len(ids), np.intp)
        by_rank[rank] = np.arange(len(ids))
        signature_bytes = np.memmap(self._paths["signatures"], np.uint8, "r")
        signatures = signature_bytes.reshape(-1, PERMUTATIONS)  # [rows, permutations]
        winner_of: dict[int, int] = {}  # by rank
        for block in np.array_split(pairs, max(1, len(pairs) // PAIRS_A_BLOCK)):
            later_signatures = signatures[survivors[by_rank[block[:, 0]]]]
            earlier_signatures = signatures[survivors[by_rank[block[:, 1]]]]
            similarity = (later_signatures == earlier_signatures).mean(axis=1)
            near_pairs = block[similarity >= self._near]
            for later, earlier in near_pairs.tolist():  # ascending: every earlier one is settled
                if earlier not in winner_of and later not in winner_of:
                    winner_of[later] = earlier
        losers = np.array(list(winner_of.keys()), np.intp)
        winners = np.array(list(winner_of.values()), np.intp)
        return ids[by_rank[losers]], ids[by_rank[winners]]

    def _pairs_of_band(
        self, band: int, survivors: NDArray[np.intp], rank: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """(later, earlier) by rank of rows that share this band's key."""
        keys = np.fromfile(self._paths[_band_name(band)], "<u8")[survivors]
        order = np.lexsort((rank, keys))
        starts = _starts(keys[order])
        group_start = np.flatnonzero(starts)[np.cumsum(starts) - 1]  # of each row's group
        ranks = rank[order]
        rows = np.arange(len(order))
        head_pairs = []
        for head in range(GROUP_HEADS):
            members = rows[rows > group_start + head]
            heads = group_start[members] + head
            head_pairs.append(np.stack([ranks[members], ranks[heads]], axis=1))
        pairs: NDArray[np.intp] = np.concatenate(head_pairs)
        return pairs


_NONE: Keys = np.empty(0, np.uint64)


def text_key(text_tokens: list[str]) -> int:
    """64 bits of a text's tokens: equal for texts that differ in style only."""
    return _key(squeeze(text_tokens))


def _gold_key(problem: Problem) -> int:
    return text_key(tokens(problem.gold)) if problem.gold else 0


def _facts_key(text_tokens: list[str], gold: int) -> int:
    """64 bits of what near-duplicates must have in common: the numbers and the gold."""
    numbers = sorted(token for token in text_tokens if token[0].isdigit())
    return _key(f"{gold} {' '.join(numbers)}")


def _band_name(band: int) -> str:
    return f"band-{band:03d}"


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _signatures(batch_tokens: Sequence[list[str]]) -> NDArray[np.uint32]:
    from rensa import RMinHash

    shingles = [_shingles(text_tokens) for text_tokens in batch_tokens]
    matrix: Any = RMinHash.digest_matrix_from_token_sets(
        shingles, num_perm=PERMUTATIONS, seed=_SEED
    )
    rows: NDArray[np.uint32] = np.array(matrix.to_rows(), np.uint32)
    return rows


def _shingles(text_tokens: list[str]) -> list[str]:
    starts = range(max(1, len(text_tokens) - SHINGLE + 1))
    return [" ".join(text_tokens[start : start + SHINGLE]) for start in starts]


def _mix(part: NDArray[np.uint32]) -> Keys:
    """One 64-bit key for each row of a band."""
    key: Keys = np.full(len(part), 0x9E3779B97F4A7C15, np.uint64)
    for column in range(part.shape[1]):
        key = (key ^ part[:, column].astype(np.uint64)) * np.uint64(0xFF51AFD7ED558CCD)
        key ^= key >> np.uint64(32)
    return key


def _starts(sorted_keys: Keys) -> NDArray[np.bool_]:
    """True where a new key begins."""
    starts: NDArray[np.bool_] = np.ones(len(sorted_keys), bool)
    starts[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return starts


def _records(path: Path, width: int) -> int:
    return path.stat().st_size // width if path.exists() else 0
