"""Everything that touches lighteval: its import, our tasks as its tasks, its metric."""
