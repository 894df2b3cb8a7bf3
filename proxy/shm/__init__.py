"""Tables, inboxes and counters in memory that all processes share and no death corrupts."""
