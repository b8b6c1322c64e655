"""The stories of the generator."""
