"""Sealed shards to token ids: which traces are learnt, in which order, and what is held out."""
