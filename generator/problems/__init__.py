"""Where problems come from: files, folders, hubs and the synthetic kind, all as one streamed
iterator of `Problem`.

    stream = open_problems(config.problems)
    for problem in stream: ...
    stream.tally.skipped      # {"a proof, not an answer": 1200, …}

Local files are scanned when the stream is opened, before anything is spent. The order depends on
the seed alone, so a run that goes on meets the same problems. Memory does not grow with the data.
"""

from generator.problems.rows import BadRow
from generator.problems.sources import fingerprint, local_path, open_problems, whole_data_set
from generator.problems.stream import ProblemStream, ProblemTally

__all__ = [
    "BadRow",
    "ProblemStream",
    "ProblemTally",
    "fingerprint",
    "local_path",
    "open_problems",
    "whole_data_set",
]
