"""What a run leaves: checkpoints, manifest, metrics, merged weights, GGUF, card and report."""
