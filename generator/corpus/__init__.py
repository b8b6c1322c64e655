"""A corpus on disk: two piles of shards, their manifest, the ledger beside them and the lock that
one run holds.

A finished sample goes whole into a shard, then into the ledger. Starting cuts torn tails and reads
again only the shards that the ledger does not know as sealed: the open ones, and one more if a kill
came before it was noted.
"""

from generator.corpus.check import check
from generator.corpus.high_water import HighWaterFile
from generator.corpus.ledger import Ledger
from generator.corpus.reconcile import reindex
from generator.corpus.sample_table import Total
from generator.corpus.status import corpus_status
from generator.corpus.store import Corpus, open_corpus
from shared.folder_lock import holder

__all__ = [
    "Corpus",
    "HighWaterFile",
    "Ledger",
    "Total",
    "check",
    "corpus_status",
    "holder",
    "open_corpus",
    "reindex",
]
