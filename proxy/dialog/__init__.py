"""Dialogs (RFC 3261 §12) that pass through us: their states, their record, who is in a profile."""
