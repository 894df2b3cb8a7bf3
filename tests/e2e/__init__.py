"""Real programs around a running server."""
