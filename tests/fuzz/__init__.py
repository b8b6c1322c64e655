"""Fuzzing: bytes that nobody wrote, at the places where bytes of others come in.

    python -m tests.fuzz --list
    python -m tests.fuzz stream --seconds 30        exit 1 and a file in tests/fuzz/crashes/ where something breaks

`targets` says what each target reads and what must hold; `corpus/TARGET/` keeps inputs that reach
far, `crashes/TARGET/` those that broke something once. Both are played by `test_fuzz_corpus.py`, as
ordinary tests. With atheris (constraints/fuzz.txt, not in any environment by default) the search is
guided by the coverage of our code; without it, it is blind, and says so.
"""
