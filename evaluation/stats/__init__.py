"""The statistics of a paired comparison."""
