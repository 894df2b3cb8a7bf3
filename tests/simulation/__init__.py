"""Whole clusters in one process, with every fault there is and no time at all."""
