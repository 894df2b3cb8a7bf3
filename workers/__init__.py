"""The processes: everything that touches the operating system."""
