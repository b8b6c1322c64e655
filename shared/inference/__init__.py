"""What runs a language model in this process: the one place in shared/ that may import torch."""
