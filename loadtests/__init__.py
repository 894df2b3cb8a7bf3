"""Load, endurance and comparison runs: black boxes around a running server."""
