"""From a problem set to a corpus of verified reasoning traces."""
