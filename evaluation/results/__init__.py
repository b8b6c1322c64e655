"""An evaluation's folder: written, read back, compared again."""
