"""`python -m generator export CORPUS DEST`: chat JSON lines, Parquet, or a data set on a hub, of
the traces chosen.

export data/numina-r1 sft.jsonl --pick shortest --drop-flags all --held-out 0.02
export data/numina-r1 hf:me/numina-r1 --pass-rate 0.1:0.9 --license mit
"""

from generator.export.command import add_arguments, run
from generator.export.export import Export

__all__ = ["Export", "add_arguments", "run"]
