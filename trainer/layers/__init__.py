"""The model that is trained: how it is loaded, its fused layers, its packed micro-batches."""
