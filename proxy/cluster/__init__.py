"""Replication between nodes: versions, merging, links."""
