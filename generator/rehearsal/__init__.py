"""The rehearsal teacher: a server of its own that answers like a reasoning model and fails as often
as it is told to.

    python -m generator.rehearsal --port 8801 --tokens-per-second 30 --faults
        429=0.05,cut=0.02,wrong=0.1

It solves the synthetic word problems by rule, replays recorded answers, and enforces limits: what a
user can rehearse before paying, and what the tests, the benchmarks and the embedded default run
against.
"""
