"""The storage process: the only one that knows a database driver."""
