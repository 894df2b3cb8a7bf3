"""Address-of-record, bindings, REGISTER and lookup."""
