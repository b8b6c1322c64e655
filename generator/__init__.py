"""From a problem set to verified, sharded reasoning traces of a teacher."""
