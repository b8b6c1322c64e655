"""What a run shows of itself: status, snapshot, console, event log and the HTTP server."""
