"""The controller of a lane beside four others, in simulated worlds."""
