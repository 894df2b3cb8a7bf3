"""Bounds on what the network may ask, and the counters that tell when it did."""
