"""Exact and near duplicates of a whole data set, found on the disk: two passes, memory of about 80
bytes a problem (half of that where little is equal).

Pass one (`add`) appends fixed-size records to files, in the order of the data; a killed run goes on
after the last whole record. Pass two (`settle`) sorts the records' keys with numpy, a key column at
a time. Which problem of a group stays is decided by the ids alone (the smallest), so the order of
the data does not matter.

Exact: equal text once style is taken away (`text.tokens`) and an equal gold ("88 / 4 / 2" is not
"88 / (4 / 2)"). Near: MinHash-LSH over 3-token shingles, the signatures from rensa, and equal
numbers and gold: the same text with other numbers is another problem, and one sign changed gives
another answer.
"""

import os
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
PAIRS_A_BLOCK = 20_000  # whose signatures are in memory at once
ROWS_A_BLOCK = 100_000  # of the records, read at once for one column
RECALL_AT_THRESHOLD = 0.98
# of a group that shares a band, each member is compared with so many of the smallest ids
GROUP_HEADS = 8
# of the MinHash permutations: fixed, so that a resumed run goes on with the same ones
_SEED = 20261124

RECORD = np.dtype([("id", "<u8"), ("text", "<u8"), ("facts", "<u8")])
Keys = NDArray[np.uint64]
Marks = NDArray[np.bool_]
Tokens = Sequence[list[str]]  # of several texts, see `text.tokens`
Places = NDArray[np.uint32]  # of rows in the data, four thousand million at most
Records = Mapping[str, bytes]  # by the name of the file that they are appended to


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What `settle` found. `losers` and `winners` are ids in parallel, sorted by loser."""

    losers: Keys
    winners: Keys
    near: Marks  # in parallel: a near-duplicate rather than an exact one
    repeated: Keys  # ids that stand in more than one row, sorted
    rows: int
    repeated_rows: int  # rows beyond the first of their id

    def reasons(self) -> dict[int, tuple[str, int]]:
        """id that is left out -> (why, the id that stays instead)."""
        losers = self.losers.tolist()
        winners = self.winners.tolist()
        reasons = {}
        for loser, winner, is_near in zip(losers, winners, self.near, strict=True):
            why = NEAR_DUPLICATE if is_near else DUPLICATE
            reasons[loser] = (why, winner)
        return reasons


def bands_for(threshold: float) -> tuple[int, int]:
    """(bands, rows a band) of 128: the longest bands that still find 98 of 100 pairs right at
    the threshold.
    """
    for rows in (32, 16, 8, 4, 2, 1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL_AT_THRESHOLD:
            return bands, rows
    return PERMUTATIONS, 1


def records_of(problems: Sequence[Problem], batch_tokens: Tokens, near: float) -> Records:
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
    kept_signatures = signatures.astype(np.uint8)
    records = {
        "rows": rows.tobytes(),
        "signatures": kept_signatures.tobytes(),
    }
    for band in range(bands):
        start = band * band_rows
        part = signatures[:, start : start + band_rows]
        keys = _mix(part)
        keys ^= rows["facts"]
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
        counts = [_records(self._paths[name], width) for name, width in widths.items()]
        self.rows = min(counts)
        self._files = {}
        for name, width in widths.items():
            file = open(self._paths[name], "ab", opener=open_within)  # noqa: SIM115 - closed by close()
            file.truncate(self.rows * width)  # what the other files do not have yet is done again
            self._files[name] = file

    def add(self, problems: Sequence[Problem], batch_tokens: Tokens) -> None:
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
        exact, places = self._settle_exact()
        near_losers = _NONE
        near_winners = _NONE
        if self._near and len(places):  # an empty file cannot be mapped
            near_losers, near_winners = self._settle_near(places)
        all_losers = np.concatenate([exact.losers, near_losers])
        all_winners = np.concatenate([exact.winners, near_winners])
        is_near = np.arange(len(all_losers)) >= len(exact.losers)
        by_loser = np.argsort(all_losers, kind="stable")
        return Duplicates(
            losers=all_losers[by_loser],
            winners=all_winners[by_loser],
            near=is_near[by_loser],
            repeated=exact.repeated,
            rows=exact.rows,
            repeated_rows=exact.repeated_rows,
        )

    def close(self) -> None:
        """Close the files; they stay."""
        for file in self._files.values():
            file.close()

    # What is as long as the data is one column at a time, places in 32 bits: the peak of memory is
    # the sort of one column. All else is as long as what is equal to something.

    def _settle_exact(self) -> tuple[Duplicates, Places]:
        """The exact duplicates; the places of one row for each text, in the order of the data."""
        text = self._column("text")
        ids = self._column("id")
        order = np.lexsort((ids, text)).astype(np.uint32)
        starts = _starts(text[order])
        del text
        is_grouped = _grouped(starts)
        places = np.sort(order[starts])
        ids = ids[order[is_grouped]]
        rows = len(order)
        del order
        starts = starts[is_grouped]
        winner = ids[starts][np.cumsum(starts) - 1]
        # rows whose id has come before: the same text word for word
        is_repeat: Marks = np.zeros(len(ids), bool)
        is_repeat[1:] = ids[1:] == ids[:-1]
        is_repeat &= ~starts
        is_loser = (ids != winner) & ~is_repeat
        duplicates = Duplicates(
            losers=ids[is_loser],
            winners=winner[is_loser],
            near=np.zeros(int(is_loser.sum()), bool),
            repeated=np.unique(ids[is_repeat]),
            rows=rows,
            repeated_rows=int(is_repeat.sum()),
        )
        return duplicates, places

    def _settle_near(self, places: Places) -> tuple[Keys, Keys]:
        """(losers, winners) among the rows at `places`, one row for each text."""
        # A row's rank is its place by id: comparisons and the greedy walk go by it.
        places = places[np.argsort(self._column("id")[places])]
        bands = range(self._bands)
        band_pairs = [self._pairs_of_band(band, places) for band in bands]
        pairs = np.unique(np.concatenate(band_pairs))
        path = self._paths["signatures"]
        winner_of: dict[int, int] = {}  # by rank
        blocks = max(1, len(pairs) // PAIRS_A_BLOCK)
        for block in np.array_split(pairs, blocks):
            later_ranks, earlier_ranks = np.divmod(block, _RANKS)
            later_signatures = _signatures_at(path, places[later_ranks])
            earlier_signatures = _signatures_at(path, places[earlier_ranks])
            similarity = (later_signatures == earlier_signatures).mean(axis=1)
            is_near = similarity >= self._near
            near_later = later_ranks[is_near].tolist()
            near_earlier = earlier_ranks[is_near].tolist()
            # ascending: every earlier one is settled
            for later, earlier in zip(near_later, near_earlier, strict=True):
                if earlier not in winner_of and later not in winner_of:
                    winner_of[later] = earlier
        losers = list(winner_of.keys())
        winners = list(winner_of.values())
        ids = self._column("id")
        loser_places = places[np.array(losers, np.intp)]
        winner_places = places[np.array(winners, np.intp)]
        return ids[loser_places], ids[winner_places]

    def _pairs_of_band(self, band: int, places: Places) -> Keys:
        """Pairs of rows that share this band's key: the later one's rank times `_RANKS`, and the
        earlier one's. `places`: by rank.
        """
        keys = np.fromfile(self._paths[_band_name(band)], "<u8")
        keys = keys[places]
        order = np.argsort(keys, kind="stable")  # by key, then by rank
        starts = _starts(keys[order])
        is_grouped = _grouped(starts)
        ranks = order[is_grouped].astype(np.uint64)
        starts = starts[is_grouped]
        group_start = np.flatnonzero(starts)[np.cumsum(starts) - 1]  # of each row's group
        rows = np.arange(len(ranks))
        head_pairs = []
        for head in range(GROUP_HEADS):
            members = rows[rows > group_start + head]
            heads = group_start[members] + head
            pairs_of_head = ranks[members] * _RANKS
            pairs_of_head += ranks[heads]
            head_pairs.append(pairs_of_head)
        pairs: Keys = np.concatenate(head_pairs)
        return pairs

    def _column(self, name: str) -> Keys:
        """One column of the records, read a block at a time."""
        count = _records(self._paths["rows"], RECORD.itemsize)
        column: Keys = np.empty(count, np.uint64)
        with open(self._paths["rows"], "rb") as file:
            for start in range(0, count, ROWS_A_BLOCK):
                block = np.fromfile(file, RECORD, ROWS_A_BLOCK)
                column[start : start + len(block)] = block[name]
        return column


_NONE: Keys = np.empty(0, np.uint64)
_RANKS = np.uint64(1 << 32)  # more than there can be
_MIX_START = 0x9E3779B97F4A7C15
_MIX_FACTOR = np.uint64(0xFF51AFD7ED558CCD)
_MIX_SHIFT = np.uint64(32)


def _signatures_at(path: Path, places: Places) -> NDArray[np.uint8]:
    """[places, permutations]. Read, not mapped: for every row of a mapped file that is touched the
    kernel maps 64 kB of it, which is all of the file soon.
    """
    rows = []
    with open(path, "rb") as file:
        number = file.fileno()
        for place in places.tolist():
            offset = place * PERMUTATIONS
            rows.append(os.pread(number, PERMUTATIONS, offset))
    signatures = np.frombuffer(b"".join(rows), np.uint8)
    return signatures.reshape(-1, PERMUTATIONS)


def text_key(text_tokens: list[str]) -> int:
    """64 bits of a text's tokens: equal for texts that differ in style only."""
    return _key(squeeze(text_tokens))


def _gold_key(problem: Problem) -> int:
    return text_key(tokens(problem.gold)) if problem.gold else 0


def _facts_key(text_tokens: list[str], gold: int) -> int:
    """64 bits of what near-duplicates must have in common: the numbers and the gold."""
    numbers = [token for token in text_tokens if token[0].isdigit()]
    number_text = " ".join(sorted(numbers))
    return _key(f"{gold} {number_text}")


def _band_name(band: int) -> str:
    return f"band-{band:03d}"


def _key(text: str) -> int:
    digest = blake2b(text.encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _signatures(batch_tokens: Tokens) -> NDArray[np.uint32]:
    from rensa import RMinHash

    shingles = [_shingles(text_tokens) for text_tokens in batch_tokens]
    matrix: Any = RMinHash.digest_matrix_from_token_sets(
        shingles, num_perm=PERMUTATIONS, seed=_SEED
    )
    rows: NDArray[np.uint32] = np.array(matrix.to_rows(), np.uint32)
    return rows


def _shingles(text_tokens: list[str]) -> list[str]:
    starts = range(max(1, len(text_tokens) - SHINGLE + 1))
    shingles = []
    for start in starts:
        shingle = text_tokens[start : start + SHINGLE]
        shingles.append(" ".join(shingle))
    return shingles


def _mix(part: NDArray[np.uint32]) -> Keys:
    """One 64-bit key for each row of a band."""
    key: Keys = np.full(len(part), _MIX_START, np.uint64)
    for column in range(part.shape[1]):
        key ^= part[:, column].astype(np.uint64)
        key *= _MIX_FACTOR
        key ^= key >> _MIX_SHIFT
    return key


def _starts(sorted_keys: Keys) -> Marks:
    """True where a new key begins."""
    starts: Marks = np.ones(len(sorted_keys), bool)
    starts[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return starts


def _grouped(starts: Marks) -> Marks:
    """True for all that do not stand alone between two starts."""
    grouped = ~starts
    grouped[:-1] |= ~starts[1:]
    return grouped


def _records(path: Path, width: int) -> int:
    return path.stat().st_size // width if path.exists() else 0
