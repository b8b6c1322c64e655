"""What answers: a model folder on this machine, or a server."""
