"""Verdicts beside the event loop: a pool of worker processes, and a language model as judge."""
